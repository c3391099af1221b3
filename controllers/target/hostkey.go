// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"context"
	"fmt"
	"regexp"
	"strings"

	"golang.org/x/crypto/ssh"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/conditions"
	"github.com/slipway-dev/slipway/internal/delivery"
	"github.com/slipway-dev/slipway/internal/depot"
)

// Bindings knows which instances have bound themselves to their host keys at the depot.
type Bindings interface {
	Binding(instance string) (depot.Binding, bool)
}

// fingerprintPrefix begins a pin that is a fingerprint: that of a key which a person named.
const fingerprintPrefix = "SHA256:"

const (
	maxFingerprint = 128
	maxBootMessage = 1024
)

// hostKey finds the key by which the host is known, where its policy is to pin one.
func (r *Reconciler) hostKey(j *job) *delivery.Failure {
	if j.host.Policy != v1alpha1.HostKeysBound && j.host.Policy != v1alpha1.HostKeysFirstUse || j.host.HostKey != "" {
		return nil
	}
	if binding, bound := r.binding(j.target); bound {
		j.host.HostKey = binding.HostKey
		return nil
	}
	if j.host.Policy == v1alpha1.HostKeysFirstUse {
		return nil
	}
	where := "the user-data of status.boot of its Service"
	if boot := j.service.Status.Boot; boot != nil && boot.ConfigMapRef != nil {
		where = "the user-data in ConfigMap " + boot.ConfigMapRef.Name
	}
	return &delivery.Failure{Step: accessStep, Reason: v1alpha1.ReasonHostKeyUnknown, Terminal: true, Message: fmt.Sprintf(
		"%s has not proved its host key yet, and spec.ssh.hostKeys.policy is Bound: an instance does so within 15 minutes of its launch, with %s "+
			"(its /var/log/cloud-init-output.log says how it went). For a host that can't, name the key with the annotation %s, or use policy Known or CA",
		j.host.Name, where, v1alpha1.AnnotationRepin)}
}

// binding is what the host said when it booted, if it is an instance that proved who it is.
func (r *Reconciler) binding(target *v1alpha1.Target) (depot.Binding, bool) {
	if r.Bindings == nil {
		return depot.Binding{}, false
	}
	return r.Bindings.Binding(target.Spec.Host.ID)
}

// booted writes how the host fared when it booted last.
func (r *Reconciler) booted(ctx context.Context, j *job) error {
	binding, _ := r.binding(j.target)
	report, booted := binding.Boots[j.target.Spec.ServiceUID]
	if !booted {
		return nil
	}
	next := &v1alpha1.BootResult{Time: metav1.NewTime(report.Time).Rfc3339Copy(), Digest: conditions.Shorten(report.Digest, 80),
		Reason: conditions.Shorten(report.Reason, 64), Message: conditions.Shorten(report.Message, maxBootMessage)}
	if last := j.target.Status.Boot; last != nil && *last == *next {
		return nil
	}
	return r.report(ctx, j, func(status *v1alpha1.TargetStatus) { status.Boot = next })
}

// repinRequest is "USER FINGERPRINT [REASON]".
var repinRequest = regexp.MustCompile(`^(\S{1,253}) (SHA256:[A-Za-z0-9+/]{43})( .*)?$`)

// repin acts once on a person's consent to another host key. From then on the host is whoever shows that key.
func (r *Reconciler) repin(ctx context.Context, j *job) error {
	request := conditions.Shorten(j.target.Annotations[v1alpha1.AnnotationRepin], 512)
	if last := j.target.Status.Repin; request == "" || last != nil && last.Request == request {
		return nil
	}
	said := repinRequest.FindStringSubmatch(request)
	if said == nil {
		r.Events.Eventf(j.target, j.service, corev1.EventTypeWarning, v1alpha1.ReasonRepinned, "Repin",
			"the annotation %s is not \"USER SHA256:FINGERPRINT [REASON]\": nothing was changed", v1alpha1.AnnotationRepin)
		said = make([]string, 4)
	}
	before := fingerprint(j.target.Status.HostKey)
	err := r.report(ctx, j, func(status *v1alpha1.TargetStatus) {
		status.Repin = &v1alpha1.RepinStatus{Request: request, Before: before, Time: metav1.NewTime(r.Clock.Now()).Rfc3339Copy()}
		if said[2] != "" {
			status.HostKey = said[2]
		}
	})
	if err != nil || said[2] == "" {
		return err
	}
	r.Events.Eventf(j.target, j.service, corev1.EventTypeNormal, v1alpha1.ReasonRepinned, "Repin", "%s consented to the host key %s of %s instead of %s:%s",
		said[1], said[2], j.target.Spec.Host.Name, before, strings.TrimRight(said[3], " "))
	return nil
}

// fingerprint of a pin.
func fingerprint(pin string) string {
	if pin == "" {
		return "none"
	}
	if key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(pin)); err == nil {
		return ssh.FingerprintSHA256(key)
	}
	return conditions.Shorten(pin, maxFingerprint)
}

// pin keeps the key that a host showed, where that is the policy: the driver accepted it.
func (j *job) pin(status *v1alpha1.TargetStatus, seen string) {
	if j.host.Policy != v1alpha1.HostKeysFirstUse && j.host.Policy != v1alpha1.HostKeysBound || seen == "" {
		return
	}
	if status.HostKey == "" || strings.HasPrefix(status.HostKey, fingerprintPrefix) {
		status.HostKey = seen
		j.host.HostKey = seen
	}
}
