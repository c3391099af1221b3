// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package target_test

import (
	"context"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/delivery"
	"github.com/slipway-dev/slipway/test/env"
)

// RunOnce implements delivery.OnceRunner, as a host does: what has begun is on record there.
func (m *machine) RunOnce(_ context.Context, _ delivery.Host, order delivery.Order, once delivery.Once, begun func()) (delivery.OnceResult, error) {
	m.asked = append(m.asked, once)
	m.hookOrder = order
	if m.running != nil {
		if failure := m.running(once, begun); failure != nil {
			return delivery.OnceResult{}, failure
		}
	}
	if once.Forbidden && m.claims[once.ID] == (delivery.OnceResult{}) {
		return delivery.OnceResult{State: v1alpha1.HookCanceled, Message: "it was not begun"}, nil
	}
	if m.claims[once.ID] == (delivery.OnceResult{}) {
		m.claims = map[string]delivery.OnceResult{once.ID: {State: v1alpha1.HookSucceeded, Message: "ended well", Output: "42 posts\a moved"}}
		begun()
	}
	return m.claims[once.ID], nil
}

// hooked is a host that is told to run a hook of a Release that waits for it.
func newHooked(t *testing.T) (*stage, *v1alpha1.Release) {
	s := newStage(t, nil, func(service *v1alpha1.Service) {
		service.Spec.Deploy.Hooks.BeforeRollout = &v1alpha1.ReleaseHook{Command: []string{"bin/migrate"}, Timeout: metav1.Duration{Duration: time.Minute}}
	})
	s.step()
	s.Expect(s.c.Get(t.Context(), client.ObjectKeyFromObject(s.target), s.target)).To(Succeed())
	release := &v1alpha1.Release{ObjectMeta: metav1.ObjectMeta{Namespace: s.target.Namespace, Name: "blog-2"}, Spec: v1alpha1.ReleaseSpec{Service: "blog", Revision: "v2"}}
	s.Expect(s.c.Create(t.Context(), release)).To(Succeed())
	release.Status.Hooks = []v1alpha1.ReleaseHookStatus{{Name: v1alpha1.HookBeforeRollout, Target: s.target.Name, HookResult: v1alpha1.HookResult{State: v1alpha1.HookPending}}}
	s.Expect(s.c.Status().Update(t.Context(), release)).To(Succeed())
	record := *s.target.Spec.Artifact
	record.Release, record.UID, record.Digest = "blog-2", v1alpha1.UID(release.UID), oldDigest
	s.target.Spec.Hook = &v1alpha1.HookOrder{Name: v1alpha1.HookBeforeRollout, Release: record, PreviousCommit: "before"}
	s.Expect(s.c.Update(t.Context(), s.target)).To(Succeed())
	s.due = s.clock.Now()
	return s, release
}

func TestHook(t *testing.T) {
	env.Start(t)

	t.Run("it runs in the artifact of its Release and its end is reported", func(t *testing.T) {
		s, release := newHooked(t)
		s.step()
		s.Expect(s.target.Status.Hook).To(SatisfyAll(HaveField("State", v1alpha1.HookSucceeded), HaveField("Message", "ended well"),
			HaveField("Output", "42 posts moved"), HaveField("Release", v1alpha1.UID(release.UID)), HaveField("CompletionTime", Not(BeNil()))))
		s.Expect(s.machine.asked).To(HaveExactElements(SatisfyAll(HaveField("ID", string(release.UID)+".BeforeRollout"), HaveField("Forbidden", false),
			HaveField("PreviousCommit", "before"), HaveField("Hook.Command", []string{"bin/migrate"}))))
		s.Expect(s.machine.hookOrder).To(SatisfyAll(HaveField("Digest", oldDigest), HaveField("Fence", s.target.Spec.Fence)))
		s.Expect(s.target.Status.Running.Digest).To(Equal(digest), "what is live is not touched")
		s.until(time.Hour)
		s.Expect(s.machine.asked).To(HaveLen(1))
		s.restart()
		s.step()
		s.Expect(s.machine.asked).To(HaveLen(1))
	})

	t.Run("a host that is lost is asked again and tells how it went", func(t *testing.T) {
		s, _ := newHooked(t)
		lost := true
		s.machine.running = func(once delivery.Once, begun func()) *delivery.Failure {
			if !lost {
				return nil
			}
			s.machine.claims = map[string]delivery.OnceResult{once.ID: {State: v1alpha1.HookFailed, Message: "it ended with exit code 3"}}
			begun()
			return &delivery.Failure{Step: "BeforeRollout", Reason: v1alpha1.ReasonUnreachable, Message: "the connection was lost", Unknown: true}
		}
		s.step()
		s.Expect(s.target.Status.Hook).To(SatisfyAll(HaveField("State", v1alpha1.HookRunning), HaveField("Message", ContainSubstring("connection was lost"))))
		lost = false
		s.restart()
		s.until(2 * time.Minute)
		s.Expect(s.target.Status.Hook).To(SatisfyAll(HaveField("State", v1alpha1.HookFailed), HaveField("Message", "it ended with exit code 3")))
		s.Expect(s.machine.asked[1].Forbidden).To(BeTrue(), "it is asked, not told to begin")
	})

	t.Run("a host that forgot a hook that had begun leaves it unknown", func(t *testing.T) {
		s, _ := newHooked(t)
		lost := true
		s.machine.running = func(_ delivery.Once, begun func()) *delivery.Failure {
			if lost {
				begun()
				return &delivery.Failure{Step: "BeforeRollout", Reason: v1alpha1.ReasonUnreachable, Message: "lost", Unknown: true}
			}
			return nil
		}
		s.step()
		lost = false
		s.until(2 * time.Minute)
		s.Expect(s.target.Status.Hook.State).To(Equal(v1alpha1.HookUnknown))
	})

	t.Run("what keeps it from beginning passes", func(t *testing.T) {
		s, _ := newHooked(t)
		full := true
		s.machine.running = func(delivery.Once, func()) *delivery.Failure {
			if full {
				return &delivery.Failure{Step: "Pull", Reason: v1alpha1.ReasonDiskFull, Message: "the disk is full"}
			}
			return nil
		}
		s.step()
		s.Expect(s.target.Status.Hook).To(SatisfyAll(HaveField("State", v1alpha1.HookPending), HaveField("Message", "Pull: the disk is full")))
		full = false
		s.until(2 * time.Minute)
		s.Expect(s.target.Status.Hook.State).To(Equal(v1alpha1.HookSucceeded))
	})

	t.Run("what can't pass fails it", func(t *testing.T) {
		s, _ := newHooked(t)
		s.machine.running = func(delivery.Once, func()) *delivery.Failure {
			return &delivery.Failure{Step: "Fence", Reason: v1alpha1.ReasonPathRefused, Message: "/var/www/blog is a symbolic link", Terminal: true}
		}
		s.step()
		s.Expect(s.target.Status.Hook).To(SatisfyAll(HaveField("State", v1alpha1.HookFailed), HaveField("Message", ContainSubstring("symbolic link"))))
	})

	for name, stop := range map[string]func(*stage, *v1alpha1.Release){
		"an aborted Release's hook is not begun": func(s *stage, r *v1alpha1.Release) {
			r.Spec.Abort = true
			s.Expect(s.c.Update(t.Context(), r)).To(Succeed())
		},
		"a deleted Release's hook is not begun": func(s *stage, r *v1alpha1.Release) { s.Expect(s.c.Delete(t.Context(), r)).To(Succeed()) },
		"a hook is not begun that its Release does not wait for": func(s *stage, r *v1alpha1.Release) {
			r.Status.Hooks[0].State = v1alpha1.HookUnknown
			s.Expect(s.c.Status().Update(t.Context(), r)).To(Succeed())
		},
		"a hook is not begun that another host runs": func(s *stage, r *v1alpha1.Release) {
			r.Status.Hooks[0].Target = "other"
			s.Expect(s.c.Status().Update(t.Context(), r)).To(Succeed())
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, release := newHooked(t)
			stop(s, release)
			s.step()
			s.Expect(s.target.Status.Hook.State).To(Equal(v1alpha1.HookCanceled))
			s.Expect(s.machine.asked).To(BeEmpty())
		})
	}
}
