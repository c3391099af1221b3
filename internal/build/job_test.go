// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package build

import (
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"

	"github.com/slipway-dev/slipway/internal/depot"
)

// TestTheBuildContainerSeesNoCredential holds the walls of a build: whoever can push to the repository runs code there.
func TestTheBuildContainerSeesNoCredential(t *testing.T) {
	g := NewWithT(t)
	spec := Job(sample()).Spec.Template.Spec
	g.Expect(spec.AutomountServiceAccountToken).To(HaveValue(BeFalse()))
	g.Expect(spec.HostNetwork || spec.HostPID || spec.HostIPC).To(BeFalse())
	for _, volume := range spec.Volumes {
		g.Expect(volume.HostPath).To(BeNil())
	}
	containers := append(append([]corev1.Container{}, spec.InitContainers...), spec.Containers...)
	g.Expect(containers).To(HaveLen(3))
	for i, name := range []string{FetchContainer, BuildContainer, PublishContainer} {
		c := containers[i]
		g.Expect(c.Name).To(Equal(name))
		g.Expect(c.SecurityContext.AllowPrivilegeEscalation).To(HaveValue(BeFalse()))
		g.Expect(c.SecurityContext.Capabilities.Drop).To(ConsistOf(corev1.Capability("ALL")))
		var mounts []string
		for _, m := range c.VolumeMounts {
			mounts = append(mounts, m.MountPath)
		}
		if name == BuildContainer {
			g.Expect(mounts).To(ConsistOf(SourceDir, HomeDir))
			g.Expect(c.Image).To(Equal("php@sha256:1"))
		} else {
			g.Expect(mounts).To(ConsistOf(SourceDir, CredentialDir))
			g.Expect(c.Image).To(Equal("slipway:dev"))
			g.Expect(c.Env).To(BeEmpty(), "no variable of the Service reaches our containers")
		}
	}
}

func TestTheScriptIsData(t *testing.T) {
	g := NewWithT(t)
	in := sample()
	in.Build.Script = `echo "$(HOME)" '; rm -rf /' $(TOKEN)`
	c := Job(in).Spec.Template.Spec.InitContainers[1]
	g.Expect(c.Command).To(Equal([]string{"sh", "-c", `exec sh -eu -c "$SLIPWAY_SCRIPT"`}))
	for _, variable := range c.Env {
		if variable.Name == "SLIPWAY_SCRIPT" {
			g.Expect(variable.Value).To(Equal(`echo "$$(HOME)" '; rm -rf /' $$(TOKEN)`), "Kubernetes takes $$ for $ and expands nothing")
		}
	}
}

func TestAJobEndsByItself(t *testing.T) {
	g := NewWithT(t)
	spec := Job(sample()).Spec
	g.Expect(spec.BackoffLimit).To(HaveValue(BeZero()))
	g.Expect(spec.ActiveDeadlineSeconds).To(HaveValue(BeEquivalentTo(900)))
	g.Expect(spec.TTLSecondsAfterFinished).To(HaveValue(BeNumerically(">=", 3600)))
}

func TestPatternsAreSingleArguments(t *testing.T) {
	g := NewWithT(t)
	g.Expect(Job(sample()).Spec.Template.Spec.Containers[0].Args).To(Equal([]string{"--output=public", "--exclude=.git/", "--exclude=*.map", "--cache=vendor"}))
}

func TestTheCredentialPinsTheDepot(t *testing.T) {
	g := NewWithT(t)
	secret := CredentialSecret(sample(), []byte("key"), []byte("certificate"), depot.Endpoint{Host: "fd00::1", Port: 2222, HostCAs: []string{"ssh-ed25519 A", "ssh-ed25519 B"}})
	g.Expect(string(secret.Data["depot"])).To(Equal("[fd00::1]:2222\n"))
	g.Expect(string(secret.Data["known_hosts"])).To(Equal("@cert-authority [fd00::1]:2222 ssh-ed25519 A\n@cert-authority [fd00::1]:2222 ssh-ed25519 B\n"))
}
