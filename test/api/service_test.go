// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/test/env"
)

// newService is a Service that the API accepts.
func newService(namespace, name string) *v1alpha1.Service {
	return &v1alpha1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: v1alpha1.ServiceSpec{
			Source: v1alpha1.SourceSpec{Git: v1alpha1.GitSource{URL: "https://git.example.com/blog.git"}},
			Build:  v1alpha1.BuildSpec{Image: "php:8.3-cli", Script: "true"},
			Targets: []v1alpha1.TargetSource{{Hosts: []v1alpha1.StaticHost{
				{Name: "web-1", Address: "10.0.0.11"},
			}}},
			SSH: v1alpha1.SSHSpec{
				User: "deploy", KeySecretRef: v1alpha1.LocalReference{Name: "blog-ssh"},
				HostKeys: v1alpha1.HostKeys{Policy: v1alpha1.HostKeysFirstUse},
			},
			Deploy: v1alpha1.DeploySpec{Path: "/var/www/blog"},
		},
	}
}

func TestServiceDefaults(t *testing.T) {
	g := NewWithT(t)
	service := newService(env.Namespace(t), "blog")
	g.Expect(env.Client(t).Create(t.Context(), service)).To(Succeed())
	g.Expect(service.Spec.Source.Path).To(BeEquivalentTo("."))
	g.Expect(service.Spec.Build.Timeout.Duration).To(Equal(15 * time.Minute))
	g.Expect(service.Spec.Build.Output.Exclude).To(ConsistOf(v1alpha1.Pattern(".git/")))
	g.Expect(service.Spec.SSH.Port).To(BeEquivalentTo(22))
	g.Expect(service.Spec.Deploy.Layout).To(Equal(v1alpha1.LayoutAtomic))
	g.Expect(service.Spec.Deploy.KeepReleases).To(BeEquivalentTo(5))
	g.Expect(service.Spec.Deploy.Drift).To(Equal(v1alpha1.DriftRepair))
	g.Expect(service.Spec.Deploy.DriftInterval.Duration).To(Equal(5 * time.Minute))
	g.Expect(service.Spec.Rollout.MaxUnavailable).To(Equal(intstr.FromString("25%")))
	g.Expect(service.Spec.Rollout.ProgressDeadline.Duration).To(Equal(10 * time.Minute))
	g.Expect(service.Spec.Rollout.MaxFailed).To(Equal(intstr.FromInt32(0)))
	g.Expect(service.Spec.Rollout.OnFailure).To(Equal(v1alpha1.OnFailureRollback))
	g.Expect(service.Spec.RevisionHistoryLimit).To(HaveValue(BeEquivalentTo(10)))
}

func TestServiceRefusesBadInputAtTheDoor(t *testing.T) {
	value := "x"
	many := make([]v1alpha1.StaticHost, 501)
	for i := range many {
		many[i] = v1alpha1.StaticHost{Name: "h" + strings.Repeat("x", i%50) + string(rune('a'+i%26)), Address: "10.0.0.1"}
	}
	for name, test := range map[string]struct {
		change func(*v1alpha1.ServiceSpec)
		says   string
	}{
		"git helper protocol":     {func(s *v1alpha1.ServiceSpec) { s.Source.Git.URL = "ext::sh -c touch% /tmp/x" }, "must be https://host/path"},
		"option for a URL":        {func(s *v1alpha1.ServiceSpec) { s.Source.Git.URL = "--upload-pack=touch /tmp/x" }, "must be https://host/path"},
		"plain http":              {func(s *v1alpha1.ServiceSpec) { s.Source.Git.URL = "http://git.example.com/x.git" }, "must be https://host/path"},
		"option for a host":       {func(s *v1alpha1.ServiceSpec) { s.Source.Git.URL = "ssh://-oProxyCommand=x/y" }, "must be https://host/path"},
		"option after a user":     {func(s *v1alpha1.ServiceSpec) { s.Source.Git.URL = "ssh://git@-oProxyCommand=x/y" }, "may not begin with '-'"},
		"password in the URL":     {func(s *v1alpha1.ServiceSpec) { s.Source.Git.URL = "https://me:secret@git.example.com/x.git" }, "put credentials into a Secret"},
		"newline in the URL":      {func(s *v1alpha1.ServiceSpec) { s.Source.Git.URL = "https://git.example.com/x\n.git" }, "must be https://host/path"},
		"source path goes up":     {func(s *v1alpha1.ServiceSpec) { s.Source.Path = "a/../../b" }, "must stay below its root"},
		"absolute source path":    {func(s *v1alpha1.ServiceSpec) { s.Source.Path = "/etc" }, "source.path"},
		"option for a path":       {func(s *v1alpha1.ServiceSpec) { s.Source.Path = "-rf" }, "source.path"},
		"revision of an option":   {func(s *v1alpha1.ServiceSpec) { s.Revision = "--upload-pack=x" }, "not a git revision"},
		"revision with a space":   {func(s *v1alpha1.ServiceSpec) { s.Revision = "a b" }, "not a git revision"},
		"revision range":          {func(s *v1alpha1.ServiceSpec) { s.Revision = "a..b" }, "not a git revision"},
		"revision with a control": {func(s *v1alpha1.ServiceSpec) { s.Revision = "a\x07b" }, "not a git revision"},
		"image with a space":      {func(s *v1alpha1.ServiceSpec) { s.Build.Image = "php --privileged" }, "build.image"},
		"image of an option":      {func(s *v1alpha1.ServiceSpec) { s.Build.Image = "--rm" }, "build.image"},
		"env LD_PRELOAD":          {func(s *v1alpha1.ServiceSpec) { s.Build.Env = []v1alpha1.EnvVar{{Name: "LD_PRELOAD", Value: &value}} }, "changes how programs are loaded"},
		"env PATH":                {func(s *v1alpha1.ServiceSpec) { s.Build.Env = []v1alpha1.EnvVar{{Name: "PATH", Value: &value}} }, "changes how programs are loaded"},
		"env value and secret": {func(s *v1alpha1.ServiceSpec) {
			s.Build.Env = []v1alpha1.EnvVar{{Name: "A", Value: &value, SecretKeyRef: &v1alpha1.SecretKeyReference{LocalReference: v1alpha1.LocalReference{Name: "s"}, Key: "k"}}}
		}, "either value or secretKeyRef"},
		"exclude that clears rules": {func(s *v1alpha1.ServiceSpec) { s.Build.Output.Exclude = []v1alpha1.Pattern{"a\n!"} }, "output.exclude"},
		"timeout of nothing":        {func(s *v1alpha1.ServiceSpec) { s.Build.Timeout = metav1.Duration{Duration: time.Second} }, "between 10s and 6h"},
		"deploy to /":               {func(s *v1alpha1.ServiceSpec) { s.Deploy.Path = "/" }, "two levels deep"},
		"deploy to /var":            {func(s *v1alpha1.ServiceSpec) { s.Deploy.Path = "/var" }, "two levels deep"},
		"deploy to a/b":             {func(s *v1alpha1.ServiceSpec) { s.Deploy.Path = "a/bcd" }, "two levels deep"},
		"deploy through ..":         {func(s *v1alpha1.ServiceSpec) { s.Deploy.Path = "/srv/../etc" }, "without '.' and '..'"},
		"deploy through //":         {func(s *v1alpha1.ServiceSpec) { s.Deploy.Path = "/srv//etc" }, "two levels deep"},
		"deploy with a newline":     {func(s *v1alpha1.ServiceSpec) { s.Deploy.Path = "/srv/a\nb" }, "two levels deep"},
		"in place without state":    {func(s *v1alpha1.ServiceSpec) { s.Deploy.Layout = v1alpha1.LayoutInPlace }, "needs stateDir"},
		"state inside the docroot": {func(s *v1alpha1.ServiceSpec) {
			s.Deploy.Layout, s.Deploy.StateDir = v1alpha1.LayoutInPlace, "/var/www/blog/state"
		}, "may not lie within each other"},
		"shared path goes up": {func(s *v1alpha1.ServiceSpec) { s.Deploy.Shared = []v1alpha1.SharedPath{{Path: "../x"}} }, "must stay below its root"},
		"shared path is all":  {func(s *v1alpha1.ServiceSpec) { s.Deploy.Shared = []v1alpha1.SharedPath{{Path: "."}} }, "name a path below"},
		"hook of two kinds": {func(s *v1alpha1.ServiceSpec) {
			s.Deploy.Hooks.AfterSwitch = &v1alpha1.HostHook{Command: []string{"true"}, Script: "true"}
		}, "exactly one of the fields"},
		"hook of no kind":          {func(s *v1alpha1.ServiceSpec) { s.Deploy.Hooks.AfterSwitch = &v1alpha1.HostHook{} }, "exactly one of the fields"},
		"user of an option":        {func(s *v1alpha1.ServiceSpec) { s.SSH.User = "-oProxyCommand=x" }, "ssh.user"},
		"address of an option":     {func(s *v1alpha1.ServiceSpec) { s.Targets[0].Hosts[0].Address = "-oProxyCommand=x" }, "address"},
		"port out of range":        {func(s *v1alpha1.ServiceSpec) { s.SSH.Port = 70000 }, "ssh.port"},
		"known keys without keys":  {func(s *v1alpha1.ServiceSpec) { s.SSH.HostKeys.Policy = v1alpha1.HostKeysKnown }, "need configMapRef"},
		"maxUnavailable of -1":     {func(s *v1alpha1.ServiceSpec) { s.Rollout.MaxUnavailable = intstr.FromInt32(-1) }, "number from 1 to 5000"},
		"maxUnavailable of 0%":     {func(s *v1alpha1.ServiceSpec) { s.Rollout.MaxUnavailable = intstr.FromString("0%") }, "number from 1 to 5000"},
		"maxFailed of 101%":        {func(s *v1alpha1.ServiceSpec) { s.Rollout.MaxFailed = intstr.FromString("101%") }, "number from 0 to 5000"},
		"maxFailed of -1":          {func(s *v1alpha1.ServiceSpec) { s.Rollout.MaxFailed = intstr.FromInt32(-1) }, "number from 0 to 5000"},
		"an unknown onFailure":     {func(s *v1alpha1.ServiceSpec) { s.Rollout.OnFailure = "Retry" }, "Rollback"},
		"a bake time of two days":  {func(s *v1alpha1.ServiceSpec) { s.Rollout.BakeTime.Duration = 48 * time.Hour }, "between 0s and 24h"},
		"a step that does nothing": {func(s *v1alpha1.ServiceSpec) { s.Rollout.Steps = []v1alpha1.RolloutStep{{}} }, "either targets or pause"},
		"a step that is both": {func(s *v1alpha1.ServiceSpec) {
			s.Rollout.Steps = []v1alpha1.RolloutStep{{Targets: ptr.To(intstr.FromInt32(1)), Pause: &v1alpha1.RolloutPause{Duration: metav1.Duration{Duration: time.Minute}}}}
		}, "either targets or pause"},
		"a step of no Targets": {func(s *v1alpha1.ServiceSpec) {
			s.Rollout.Steps = []v1alpha1.RolloutStep{{Targets: ptr.To(intstr.FromInt32(0))}}
		}, "number from 1 to 5000"},
		"a pause of no time": {func(s *v1alpha1.ServiceSpec) {
			s.Rollout.Steps = []v1alpha1.RolloutStep{{Pause: &v1alpha1.RolloutPause{Duration: metav1.Duration{Duration: time.Millisecond}}}}
		}, "between 1s and 168h"},
		"more hosts than a source may list": {func(s *v1alpha1.ServiceSpec) { s.Targets[0].Hosts = many }, "500"},
		"a namespace in a reference":        {func(s *v1alpha1.ServiceSpec) { s.SSH.KeySecretRef.Name = "other/blog-ssh" }, "keySecretRef"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			service := newService(env.Namespace(t), "blog")
			test.change(&service.Spec)
			g.Expect(env.Client(t).Create(t.Context(), service)).To(MatchError(ContainSubstring(test.says)))
		})
	}
}

func TestServiceAcceptsWhatGitAndHostsAllow(t *testing.T) {
	for name, change := range map[string]func(*v1alpha1.ServiceSpec){
		"ssh with a user":           func(s *v1alpha1.ServiceSpec) { s.Source.Git.URL = "ssh://git@git.example.com:2222/blog.git" },
		"file":                      func(s *v1alpha1.ServiceSpec) { s.Source.Git.URL = "file:///srv/git/blog.git" },
		"unicode branch":            func(s *v1alpha1.ServiceSpec) { s.Revision = "機能/日本語" },
		"shell characters in a ref": func(s *v1alpha1.ServiceSpec) { s.Revision = "a;b&c$(d)" },
		"an IPv6 host":              func(s *v1alpha1.ServiceSpec) { s.Targets[0].Hosts[0].Address = "fd00::11" },
		"a percentage":              func(s *v1alpha1.ServiceSpec) { s.Rollout.MaxUnavailable = intstr.FromString("100%") },
		"a number":                  func(s *v1alpha1.ServiceSpec) { s.Rollout.MaxUnavailable = intstr.FromInt32(3) },
		"steps": func(s *v1alpha1.ServiceSpec) {
			s.Rollout.MaxFailed = intstr.FromString("0%")
			s.Rollout.Steps = []v1alpha1.RolloutStep{{Targets: ptr.To(intstr.FromString("10%"))}, {Pause: &v1alpha1.RolloutPause{Duration: metav1.Duration{Duration: time.Minute}}}}
		},
		"in place with state": func(s *v1alpha1.ServiceSpec) {
			s.Deploy.Layout, s.Deploy.StateDir = v1alpha1.LayoutInPlace, "/var/lib/slipway/blog"
		},
	} {
		t.Run(name, func(t *testing.T) {
			service := newService(env.Namespace(t), "blog")
			change(&service.Spec)
			NewWithT(t).Expect(env.Client(t).Create(t.Context(), service)).To(Succeed())
		})
	}
}

func TestServicePathAndLayoutStay(t *testing.T) {
	g := NewWithT(t)
	service := newService(env.Namespace(t), "blog")
	g.Expect(env.Client(t).Create(t.Context(), service)).To(Succeed())
	service.Spec.Deploy.Path = "/var/www/other"
	g.Expect(env.Client(t).Update(t.Context(), service)).To(MatchError(ContainSubstring("deploy.path can't be changed")))
}
