// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

// Package region is a small AWS region on one Linux machine, for tests and demonstrations: the APIs of package awstest, and an
// Auto Scaling group whose instances are those of package instances. It keeps a log of what it saw happen, which owes nothing
// to what Slipway says.
package region

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/slipway-dev/slipway/internal/awstest"
	"github.com/slipway-dev/slipway/test/instances"
)

// Name of the region.
const Name = "ap-northeast-1"

// Hooks of the group.
const (
	LaunchHook    = "slipway-up"
	TerminateHook = "slipway-down"
)

// Options of a Region.
type Options struct {
	// Dir keeps everything. Required.
	Dir string
	// Group is the name of the Auto Scaling group. Required.
	Group string
	// Tags of the group's instances.
	Tags map[string]string
	// UserData of the group's instances: what their launch template has when one is launched.
	UserData func() ([]byte, error)
	// Files of the group's instances, by their path, on top of Debian's.
	Files map[string]string
	// AuthorizedKey, in authorized_keys format, lets in to user deploy of every instance.
	AuthorizedKey string
	// Tell takes each line of the log as it comes about. Default: nobody.
	Tell func(Event)
}

// Region is the region.
type Region struct {
	Cloud  *awstest.Cloud
	Subnet *instances.Subnet
	// Certificates is a directory for the depot's --identity-certificates.
	Certificates string
	// Queue is the URL of the queue that is told what happens to the group's instances.
	Queue string

	options Options
	image   *instances.Image
	ctx     context.Context
	cancel  context.CancelFunc
	work    sync.WaitGroup

	mu      sync.Mutex
	members []*member
	events  []Event
	failed  error
}

// Start makes a region whose group has no instance yet. Close ends it.
func Start(ctx context.Context, options Options) (*Region, error) {
	if options.Tell == nil {
		options.Tell = func(Event) {}
	}
	dir, err := filepath.Abs(options.Dir)
	if err != nil {
		return nil, err
	}
	r := &Region{options: options, Cloud: awstest.New(), Certificates: filepath.Join(dir, "certificates")}
	r.ctx, r.cancel = context.WithCancel(context.WithoutCancel(ctx))
	if err := r.start(ctx, dir); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

func (r *Region) start(ctx context.Context, dir string) error {
	if err := os.MkdirAll(r.Certificates, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(r.Certificates, Name+".pem"), r.Cloud.IdentityCertificate(Name), 0o644); err != nil {
		return err
	}
	// Who does not answer at a hook is ended at launch, and ends anyway.
	r.Cloud.AddHook(r.options.Group, awstest.Hook{Name: LaunchHook, Timeout: 5 * time.Minute})
	r.Cloud.AddHook(r.options.Group, awstest.Hook{Name: TerminateHook, Transition: awstest.Terminating, Timeout: time.Minute, Default: "CONTINUE"})
	r.Queue = r.Cloud.AddQueue("events")
	r.Cloud.Tell(r.Queue)
	debian, err := instances.Debian(ctx)
	if err != nil {
		return err
	}
	files := map[string]string{"etc/ssh/authorized_keys.d/deploy": r.options.AuthorizedKey}
	maps.Copy(files, r.options.Files)
	r.image, err = debian.With(filepath.Join(dir, "image"), files)
	if err != nil {
		return err
	}
	r.Subnet, err = instances.NewSubnet(instances.Options{
		Dir: filepath.Join(dir, "instances"),
		Metadata: func(listener net.Listener, id string) (io.Closer, error) {
			return r.Cloud.ServeMetadata(listener, id, awstest.MetadataOptions{})
		},
	})
	return err
}

// Close ends the instances and all else.
func (r *Region) Close() error {
	r.cancel()
	r.work.Wait()
	defer r.Cloud.Close()
	if r.Subnet == nil {
		return nil
	}
	return r.Subnet.Close()
}

// Bake makes an image in dir, which must not exist, of the disk of the youngest instance in service, while it runs. The group launches
// instances from it from then on.
func (r *Region) Bake(dir string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range slices.Backward(r.members) {
		if i := r.Subnet.Instance(m.id); i != nil && !m.leaving && m.inService {
			image, err := i.Bake(dir)
			if err == nil {
				r.image = image
				r.add(Event{What: "the group launches from an image of " + m.id})
			}
			return err
		}
	}
	return errors.New("no instance is in service that an image could be made of")
}

// launch starts one instance of the group.
func (r *Region) launch() (*member, error) {
	userData, err := r.options.UserData()
	if err != nil {
		return nil, fmt.Errorf("the launch template's user-data: %w", err)
	}
	m := &member{address: r.Subnet.Address(), image: r.image}
	m.id = r.Cloud.Add(awstest.Instance{
		Region: Name, PrivateIP: m.address, Tags: r.options.Tags, UserData: userData, Group: r.options.Group, State: "pending", Lifecycle: "Pending",
	})
	return m, nil
}
