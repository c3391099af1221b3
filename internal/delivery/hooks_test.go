// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package delivery_test

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/test/hosts"
)

func TestHooks(t *testing.T) {
	s := newSite(t, hosts.Options{})
	run := func(before, after *v1alpha1.HostHook, content string) (string, func()) {
		digest := s.depot.publish(t, map[string]string{"index.php": content})
		return digest, func() { s.deploy.Hooks = v1alpha1.Hooks{BeforeSwitch: before, AfterSwitch: after} }
	}
	script := func(text string) *v1alpha1.HostHook {
		return &v1alpha1.HostHook{Script: text, Timeout: metav1.Duration{Duration: 2 * time.Second}}
	}
	digest, set := run(script("cat >/tmp/stdin; pwd; echo \"$SLIPWAY_REVISION\"; ls index.php"), &v1alpha1.HostHook{Command: []string{"printf", "%s|", "a b", "$(id)", "'"}}, "reads stdin")
	set()
	result := s.deliver(s.order(digest))
	s.Expect(result.Steps).To(ContainElement(HaveField("Message", ContainSubstring("index.php"))))
	s.Expect(result.Steps).To(ContainElement(HaveField("Message", "a b|$(id)|'|")))

	digest, set = run(nil, script("sleep 300 & echo $! >/tmp/child; echo said"), "backgrounds a child")
	set()
	began := time.Now()
	result = s.deliver(s.order(digest))
	s.deliver(s.order(digest)) // the child holds no lock
	s.Expect(time.Since(began)).To(BeNumerically("<", time.Minute), "the child sleeps for five")
	s.Expect(s.shell("kill -0 $(cat /tmp/child) 2>&1 || :")).To(ContainSubstring("No such process"), "it does not live on unnoticed")
	s.Expect(result.Steps).To(ContainElement(HaveField("Message", And(ContainSubstring("left running (sleep)"), HaveSuffix("service manager: said")))))

	digest, set = run(nil, script("setsid sleep 299 & echo $! >/tmp/child"), "starts a daemon")
	set()
	began = time.Now()
	s.deliver(s.order(digest))
	s.deliver(s.order(digest))
	s.Expect(time.Since(began)).To(BeNumerically("<", time.Minute), "the child sleeps for five")
	s.shell("kill $(cat /tmp/child)")

	before := s.probe().Digest
	digest, set = run(script("sleep 301 & sleep 302"), nil, "hangs")
	set()
	failure := s.refuse(s.order(digest), v1alpha1.ReasonHookFailed)
	s.Expect(failure.Step).To(Equal("BeforeSwitch"))
	s.Expect(failure.Message).To(ContainSubstring("2s"))
	s.Expect(s.probe().Digest).To(Equal(before))
	s.Expect(s.shell("ps ax | grep -c '[s]leep 30[12]' || :")).To(Equal("0\n"), "what a hook started ends with it")

	digest, set = run(nil, script("echo broken >&2; exit 3"), "fails after")
	set()
	failure = s.refuse(s.order(digest), v1alpha1.ReasonHookFailed)
	s.Expect(failure.Switched).To(BeTrue())
	s.Expect(failure.Message).To(ContainSubstring("exit code 3: broken"))
	s.Expect(s.probe().Digest).To(Equal(digest))
	s.deploy.Hooks.AfterSwitch = script("echo again")
	result = s.deliver(s.order(digest))
	s.Expect(result.Steps).To(ContainElement(HaveField("Message", "again")), "a hook that failed runs again")

	digest, set = run(script("head -c 50000000 /dev/zero | tr '\\0' x; exit 1"), nil, "prints much")
	set()
	s.Expect(len(s.refuse(s.order(digest), v1alpha1.ReasonHookFailed).Message)).To(BeNumerically("<", 1100))

	digest, set = run(script("echo >>index.php"), nil, "writes")
	set()
	s.refuse(s.order(digest), v1alpha1.ReasonVerifyFailed)

	digest, set = run(nil, script("echo >made-by-hook"), "writes after")
	set()
	result = s.deliver(s.order(digest))
	s.Expect(result.Steps).To(ContainElement(HaveField("Message", And(ContainSubstring("made-by-hook"), ContainSubstring("let hooks write to shared paths only")))))
	s.Expect(s.probe().Drift).To(HaveField("Message", ContainSubstring("made-by-hook")))
}

// What a hook is told. The previous commit is what was live before the switch, also for a hook that runs again.
func TestHookEnvironment(t *testing.T) {
	s := newSite(t, hosts.Options{})
	tell := func(to, end string) *v1alpha1.HostHook {
		return &v1alpha1.HostHook{Script: "env | sed -n 's/^SLIPWAY_//p' | sort >/tmp/" + to + "; env | grep -c '^SSH_' >>/tmp/" + to + " || :; " + end}
	}
	one, two := s.depot.publish(t, first), s.depot.publish(t, map[string]string{"index.php": "two"})
	told := func(commit, digest, previous, release, path string) string {
		return "BOOT=\nCOMMIT=" + commit + "\nDIGEST=" + digest + "\nPATH=/var/www/blog\nPREVIOUS_COMMIT=" + previous + "\nRELEASE=" + release +
			"\nRELEASE_PATH=/var/www/blog/releases/" + path + "\nREVISION=v1\nSERVICE=blog\n0\n"
	}
	order := s.order(one)
	order.Deploy.Hooks = v1alpha1.Hooks{BeforeSwitch: tell("before", ""), AfterSwitch: tell("after", "")}
	s.deliver(order)
	s.Expect(s.shell("cat /tmp/before")).To(Equal(told("c0ffee", one, "", "blog-1", one[7:])))
	s.Expect(s.shell("cat /tmp/after")).To(Equal(told("c0ffee", one, "", "blog-1", one[7:])))

	order = s.order(two)
	order.Commit, order.Release = "decaf", "blog-2"
	order.Deploy.Hooks = v1alpha1.Hooks{BeforeSwitch: tell("before", ""), AfterSwitch: tell("after", "exit 1")}
	s.refuse(order, v1alpha1.ReasonHookFailed)
	s.Expect(s.shell("cat /tmp/before")).To(Equal(told("decaf", two, "c0ffee", "blog-2", two[7:])))
	s.shell("rm /tmp/after")
	order.Deploy.Hooks.AfterSwitch = tell("after", "")
	s.deliver(order)
	s.Expect(s.shell("cat /tmp/after")).To(Equal(told("decaf", two, "c0ffee", "blog-2", two[7:])))
}
