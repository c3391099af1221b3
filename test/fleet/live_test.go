// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"net"
	"sync/atomic"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"golang.org/x/crypto/ssh"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/controllers/target"
	"github.com/slipway-dev/slipway/internal/awstest"
	"github.com/slipway-dev/slipway/internal/conditions"
	"github.com/slipway-dev/slipway/internal/delivery"
	"github.com/slipway-dev/slipway/internal/discovery"
	"github.com/slipway-dev/slipway/internal/discovery/ec2"
)

// door is where a host's sshd would be. It counts who knocks, and sends them away.
type door struct {
	net.Listener
	knocks atomic.Int64
}

func newDoor(t *testing.T) *door {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	d := &door{Listener: listener}
	t.Cleanup(func() { _ = d.Close() })
	go func() {
		for {
			conn, err := d.Accept()
			if err != nil {
				return
			}
			d.knocks.Add(1)
			_ = conn.Close()
		}
	}()
	return d
}

func (d *door) port() int32 { return int32(d.Addr().(*net.TCPAddr).Port) }

// key puts a key for SSH where the Service says it is.
func (w *world) key() {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	w.Expect(err).NotTo(HaveOccurred())
	block, err := ssh.MarshalPrivateKey(private, "")
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(w.client.Create(w.t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "blog-ssh"},
		Type:       corev1.SecretTypeSSHAuth, Data: map[string][]byte{corev1.SSHAuthPrivateKey: pem.EncodeToMemory(block)},
	})).To(Succeed())
}

// sweptOnce is a sweeper that has looked once, and will not for an hour.
func (w *world) sweptOnce(source *v1alpha1.EC2Source) *ec2.Sweeper {
	sweeper := ec2.New(ec2.Options{Period: time.Hour, Fresh: time.Nanosecond})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- sweeper.Start(ctx) }()
	w.t.Cleanup(func() { cancel(); w.Expect(<-ended).To(Succeed()) })
	w.Eventually(func() int { return sweeper.View(discovery.AccountOf(source), []string{"Role"}).Looks }, patience).Should(Equal(1))
	return sweeper
}

// What an instance is just before it is reached decides, not what it was when it was swept: no connection is even begun.
func TestAnInstanceIsLookedAtJustBeforeItIsReached(t *testing.T) {
	source := &v1alpha1.EC2Source{Region: "ap-northeast-1", Tags: map[string]v1alpha1.TagValue{"Role": "blog"},
		Address: v1alpha1.AddressTag, AddressTag: "Reach"}
	w, d := newWorld(t, source), newDoor(t)
	w.key()
	var service v1alpha1.Service
	w.Expect(w.client.Get(t.Context(), client.ObjectKey{Namespace: w.namespace, Name: "blog"}, &service)).To(Succeed())
	before := service.DeepCopy()
	service.Spec.SSH.Port = d.port()
	w.Expect(w.client.Patch(t.Context(), &service, client.MergeFrom(before))).To(Succeed())
	tags := func() map[string]string { return map[string]string{"Role": "blog", "Reach": "127.0.0.1"} }
	id := w.cloud.Add(awstest.Instance{Tags: tags()})
	w.Eventually(func() int32 {
		if targets := w.targets(); len(targets) == 1 {
			return targets[0].Spec.Host.Port
		}
		return 0
	}, patience).Should(Equal(d.port()))
	w.stop() // from here on nobody follows the fleet
	sweeper := w.sweptOnce(source)
	pool := delivery.New(delivery.Options{})
	t.Cleanup(func() { pool.Close() })

	for _, test := range []struct {
		name   string
		change func(*awstest.Instance)
		denied bool
		knocks int64
		says   string
	}{
		{name: "as it was swept", knocks: 1, says: "False Unreachable"},
		{name: "its tag was taken away", change: func(i *awstest.Instance) { delete(i.Tags, "Role") },
			says: "False NotPermitted no source of the Service names the host any more; the host is left alone"},
		{name: "it was given to somebody else", change: func(i *awstest.Instance) { i.Tags["Role"] = "shop" },
			says: "False NotPermitted no source of the Service names the host any more; the host is left alone"},
		{name: "it was terminated", change: func(i *awstest.Instance) { i.State = "terminated" },
			says: "False NotPermitted no source of the Service names the host any more; the host is left alone"},
		{name: "it has another address", change: func(i *awstest.Instance) { i.Tags["Reach"] = "127.0.0.2" },
			says: "False NotPermitted " + id + " has another address by now; the host is left alone"},
		{name: "as it was swept, again", knocks: 1, says: "False Unreachable"},
		{name: "AWS does not say, and the last sweep stands", change: func(i *awstest.Instance) { delete(i.Tags, "Role") }, denied: true, knocks: 1,
			says: "False Unreachable"},
	} {
		w.cloud.Change(id, func(i *awstest.Instance) {
			i.Tags, i.State = tags(), "running"
			if test.change != nil {
				test.change(i)
			}
		})
		if test.denied {
			w.cloud.Refuse("DescribeInstances", awstest.Denied, 0)
		}
		host := w.targets()[0]
		// A reconciler that knows nothing of earlier tries waits for nothing.
		reconciler := target.New(target.Options{Client: w.client, Reader: w.client, Finder: sweeper, Delivery: pool, Clock: clock.RealClock{}})
		knocked := d.knocks.Load()
		_, err := reconciler.Reconcile(t.Context(), &host)
		w.Expect(err).NotTo(HaveOccurred(), test.name)
		w.Expect(d.knocks.Load()-knocked).To(Equal(test.knocks), test.name)
		c := conditions.Get(w.targets()[0].Status.Conditions, v1alpha1.ConditionReady)
		w.Expect(string(c.Status)+" "+c.Reason+" "+c.Message).To(HavePrefix(test.says), test.name)
	}
}
