// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package console

import (
	"net/http"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/conditions"
)

func TestAHeldReleaseIsLetThroughByWhoMay(t *testing.T) {
	h := newHouse(t)
	h.release("one", func(r *v1alpha1.Release) {
		conditions.False(&r.Status.Conditions, 1, v1alpha1.ConditionReady, v1alpha1.ReasonLocked, "the Service is locked")
	})
	releaser, overrider := h.signedIn("releaser", "slipway-releaser"), h.signedIn("overrider", "slipway-releaser", "slipway-overrider")
	page, path := "/r/"+h.mine+"/one", "/r/"+h.mine+"/one/override"
	releaser.sees(page, "You need the permission “override releases.slipway.dev”")
	code, body, _ := releaser.post(path, "reason", "hotfix", "gate", "Lock")
	h.Expect(code).To(Equal(http.StatusForbidden))
	h.Expect(body).To(ContainSubstring("takes the verb override"))
	code, _, _ = overrider.post(path, "gate", "Lock")
	h.Expect(code).To(Equal(http.StatusUnprocessableEntity), "without a reason")
	code, _, _ = overrider.post(path, "reason", "hotfix", "gate", "Window")
	h.Expect(code).To(Equal(http.StatusUnprocessableEntity), "what was not shown")
	code, body, _ = overrider.post(path, "reason", "hotfix", "gate", "Lock")
	h.Expect(code).To(Equal(http.StatusSeeOther), body)
	var one v1alpha1.Release
	h.Expect(h.c.Get(t.Context(), client.ObjectKey{Namespace: h.mine, Name: "one"}, &one)).To(Succeed())
	h.Expect(one.Spec.Override).To(HaveValue(Equal(v1alpha1.Override{By: "system:serviceaccount:" + h.mine + ":overrider", Reason: "hotfix", Gates: []v1alpha1.Gate{v1alpha1.GateLock}})))
}

func TestALockEndsByItself(t *testing.T) {
	h := newHouse(t)
	v := h.signedIn("editor", "slipway-editor")
	path := "/s/" + h.mine + "/blog"
	v.sees(path, "Unlock")
	code, _, _ := v.post(path + "/unlock")
	h.Expect(code).To(Equal(http.StatusSeeOther))
	v.sees(path, `name="for"`)
	code, body, _ := v.post(path+"/lock", "reason", "inventory", "for", "4h")
	h.Expect(code).To(Equal(http.StatusSeeOther), body)
	var service v1alpha1.Service
	h.Expect(h.c.Get(t.Context(), client.ObjectKey{Namespace: h.mine, Name: "blog"}, &service)).To(Succeed())
	h.Expect(service.Spec.Lock.Until.Time).To(BeTemporally("~", time.Now().Add(4*time.Hour), time.Minute))
}

func TestAHostIsTriedAgainByWhoLeadsHosts(t *testing.T) {
	h := newHouse(t)
	h.release("one", nil)
	target := &v1alpha1.Target{}
	target.Namespace, target.Name = h.mine, "blog-web-1"
	target.Spec = v1alpha1.TargetSpec{Service: "blog", ServiceUID: "u", Host: v1alpha1.TargetHost{ID: "web-1", Name: hostile, Address: "10.0.0.1", Port: 22}}
	h.Expect(h.c.Create(t.Context(), target)).To(Succeed())
	releaser, admin := h.signedIn("releaser", "slipway-releaser"), h.signedIn("admin", "slipway-viewer", "slipway-host-admin")
	page := "/r/" + h.mine + "/one/t/blog-web-1"
	releaser.sees(page, "You need the permission “patch targets.slipway.dev”")
	_, body, _ := releaser.get(page)
	h.Expect(body).NotTo(ContainSubstring("<img"))
	code, _, _ := releaser.post(page + "/retry")
	h.Expect(code).To(Equal(http.StatusForbidden))
	code, body, where := admin.post(page + "/retry")
	h.Expect(code).To(Equal(http.StatusSeeOther), body)
	h.Expect(where).To(Equal(page))
	h.Expect(h.c.Get(t.Context(), client.ObjectKeyFromObject(target), target)).To(Succeed())
	h.Expect(target.Annotations).To(HaveKey(v1alpha1.AnnotationRetry))
}

// TestAJumpFindsWhatIsMeant tries what people paste: a Service, a Release, a commit, a host.
func TestAJumpFindsWhatIsMeant(t *testing.T) {
	h := newHouse(t)
	h.release("one", nil)
	target := &v1alpha1.Target{}
	target.Namespace, target.Name = h.mine, "blog-web-1"
	target.Spec = v1alpha1.TargetSpec{Service: "blog", ServiceUID: "u", Host: v1alpha1.TargetHost{ID: "i-0abc", Name: "web-1", Address: "10.0.0.1", Port: 22}}
	h.Expect(h.c.Create(t.Context(), target)).To(Succeed())
	v, nobody := h.signedIn("viewer", "slipway-viewer"), h.signedIn("nobody")
	v.sees("/targets", "web-1")
	v.sees("/r/"+h.mine+"/one", "one")
	for wanted, want := range map[string]string{
		"blog": "/s/" + h.mine + "/blog", h.mine + "/blog": "/s/" + h.mine + "/blog", "one": "/r/" + h.mine + "/one", "7777777": "/r/" + h.mine + "/one",
		"i-0abc": "/targets?q=i-0abc", "web-1": "/targets?q=web-1", "777": "/?q=777", "": "/?q=", "//evil": "/?q=%2F%2Fevil",
	} {
		_, _, where := v.get("/jump?to=" + strings.ReplaceAll(wanted, "/", "%2F"))
		h.Expect(where).To(Equal(want), wanted)
	}
	_, _, where := nobody.get("/jump?to=7777777")
	h.Expect(where).To(Equal("/?q=7777777"), "what somebody may not see is not found")
}

// TestWhatIsTickedIsReleased reviews a plan, ticks, and looks at the Release.
func TestWhatIsTickedIsReleased(t *testing.T) {
	h := newHouse(t)
	plan := &v1alpha1.Release{}
	plan.Namespace, plan.Name, plan.Annotations = h.mine, "blog-plan-abcde", map[string]string{v1alpha1.AnnotationDryRun: "true"}
	plan.Spec = v1alpha1.ReleaseSpec{Service: "blog", Revision: "main"}
	h.Expect(h.c.Create(t.Context(), plan)).To(Succeed())
	before := plan.DeepCopy()
	plan.Status.Plan = &v1alpha1.ReleasePlan{Commit: strings.Repeat("8", 40), Ref: "refs/heads/main", Hosts: 1, Moving: 1}
	h.Expect(h.c.Status().Patch(t.Context(), plan, client.MergeFrom(before))).To(Succeed())
	v := h.signedIn("releaser", "slipway-releaser")
	v.sees("/s/"+h.mine+"/blog/new?plan=blog-plan-abcde", `name="rebuild"`)
	code, body, _ := v.post("/s/"+h.mine+"/blog/release", "plan", "blog-plan-abcde", "rebuild", "yes", "skipAfter", "yes")
	h.Expect(code).To(Equal(http.StatusSeeOther), body)
	var made v1alpha1.Release
	h.Expect(h.c.Get(t.Context(), client.ObjectKey{Namespace: h.mine, Name: "blog-abcde"}, &made)).To(Succeed())
	h.Expect(made.Spec.Rebuild).NotTo(BeEmpty())
	h.Expect(made.Spec.SkipHooks).To(ConsistOf(v1alpha1.HookAfterRollout))
	v.sees("/s/"+h.mine+"/blog/new?rev=feature%2Fx%22", `value="feature/x&#34;"`)
}
