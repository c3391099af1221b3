// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package podrunner

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/slipway-dev/slipway/api/v1alpha1"
)

func TestStatus(t *testing.T) {
	ended := func(code int32) corev1.ContainerStatus {
		return corev1.ContainerStatus{ContainerID: "docker://x", State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: code}}}
	}
	runs := corev1.ContainerStatus{ContainerID: "docker://x", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}
	type all = map[string]corev1.ContainerStatus
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for name, c := range map[string]struct {
		observed Observation
		phase    corev1.PodPhase
		reason   string
		ready    bool
	}{
		"nothing yet":            {Observation{}, corev1.PodPending, "", false},
		"an init container runs": {Observation{Containers: all{"i": runs}}, corev1.PodPending, "", false},
		"an init one failed":     {Observation{Containers: all{"i": ended(1)}}, corev1.PodFailed, "", false},
		"one runs":               {Observation{Containers: all{"i": ended(0), "a": runs}}, corev1.PodRunning, "", false},
		"all run":                {Observation{Containers: all{"i": ended(0), "a": runs, "b": runs}}, corev1.PodRunning, "", true},
		"one failed, one runs":   {Observation{Containers: all{"i": ended(0), "a": ended(2), "b": runs}}, corev1.PodRunning, "", false},
		"all ended, one badly":   {Observation{Containers: all{"i": ended(0), "a": ended(2), "b": ended(0)}}, corev1.PodFailed, "", false},
		"all ended well":         {Observation{Containers: all{"i": ended(0), "a": ended(0), "b": ended(0)}}, corev1.PodSucceeded, "", false},
		"too late":               {Observation{Containers: all{"i": ended(0), "a": runs}, Reason: "DeadlineExceeded"}, corev1.PodFailed, "DeadlineExceeded", false},
		"the engine is away":     {Observation{Containers: all{"i": ended(0), "a": runs}, Unavailable: "why"}, corev1.PodRunning, ReasonEngineUnavailable, false},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			pod := &corev1.Pod{Spec: corev1.PodSpec{InitContainers: []corev1.Container{{Name: "i"}}, Containers: []corev1.Container{{Name: "a"}, {Name: "b"}}},
				Status: corev1.PodStatus{Reason: ReasonEngineUnavailable, Message: "of an earlier look", PodIP: "10.0.0.9"}}
			c.observed.Now = now
			got := Status(pod, c.observed)
			g.Expect(got.Phase).To(Equal(c.phase))
			g.Expect(got.Reason).To(Equal(c.reason))
			g.Expect(got.Message).To(Equal(c.observed.Unavailable))
			g.Expect(got.StartTime.Time).To(BeTemporally("==", now))
			g.Expect(got.PodIP).To(Equal("10.0.0.9"), "an address stays when its container has ended")
			g.Expect(got.Conditions).To(ContainElement(And(HaveField("Type", corev1.PodReady), HaveField("Status", map[bool]corev1.ConditionStatus{
				true: corev1.ConditionTrue, false: corev1.ConditionFalse}[c.ready]))))
			pod.Status = got
			c.observed.Now = now.Add(time.Hour)
			g.Expect(Status(pod, c.observed)).To(Equal(got), "seen again it is the same, and nothing is written")
		})
	}
}

func TestFits(t *testing.T) {
	node := Node(NodeInfo{Name: "n"}, time.Time{})
	for name, c := range map[string]struct {
		change func(*corev1.Pod)
		want   bool
	}{
		"a build":           {func(*corev1.Pod) {}, true},
		"somebody else's":   {func(p *corev1.Pod) { p.Labels = nil }, false},
		"bound already":     {func(p *corev1.Pod) { p.Spec.NodeName = "m" }, false},
		"gated":             {func(p *corev1.Pod) { p.Spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: "g"}} }, false},
		"being deleted":     {func(p *corev1.Pod) { p.DeletionTimestamp = &metav1.Time{} }, false},
		"another machine's": {func(p *corev1.Pod) { p.Spec.NodeSelector[corev1.LabelHostname] = "m" }, false},
		"does not tolerate": {func(p *corev1.Pod) { p.Spec.Tolerations = nil }, false},
		"tolerates the value": {func(p *corev1.Pod) {
			p.Spec.Tolerations = []corev1.Toleration{{Key: v1alpha1.TaintBuildNode, Value: "true", Effect: corev1.TaintEffectNoSchedule}}
		}, true},
		"tolerates another effect": {func(p *corev1.Pod) { p.Spec.Tolerations[0].Effect = corev1.TaintEffectNoExecute }, false},
	} {
		t.Run(name, func(t *testing.T) {
			pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{v1alpha1.LabelManagedBy: v1alpha1.ManagedBy}},
				Spec: corev1.PodSpec{NodeSelector: map[string]string{v1alpha1.LabelBuildNode: "true"},
					Tolerations: []corev1.Toleration{{Key: v1alpha1.TaintBuildNode, Operator: corev1.TolerationOpExists}}}}
			c.change(pod)
			NewWithT(t).Expect(Fits(pod, node.Labels, node.Spec.Taints)).To(Equal(c.want))
		})
	}
}

// held are the objects of a test, by name.
type held map[string]map[string][]byte

func (h held) Secret(_ context.Context, _, name string) (*corev1.Secret, error) {
	if h[name] == nil {
		return nil, apierrors.NewNotFound(corev1.Resource("secrets"), name)
	}
	return &corev1.Secret{Data: h[name]}, nil
}

func (h held) ConfigMap(_ context.Context, _, name string) (*corev1.ConfigMap, error) {
	if h[name] == nil {
		return nil, apierrors.NewNotFound(corev1.Resource("configmaps"), name)
	}
	return &corev1.ConfigMap{BinaryData: h[name]}, nil
}

func TestVolumes(t *testing.T) {
	yes := true
	objects := held{"s": {"k": []byte("v")}}
	for name, c := range map[string]struct {
		secret corev1.SecretVolumeSource
		want   string // of the error
	}{
		"whole":            {corev1.SecretVolumeSource{SecretName: "s"}, ""},
		"none":             {corev1.SecretVolumeSource{SecretName: "t"}, `volume "v": secret n/t: secrets "t" not found`},
		"none, optional":   {corev1.SecretVolumeSource{SecretName: "t", Optional: &yes}, ""},
		"no key":           {corev1.SecretVolumeSource{SecretName: "s", Items: []corev1.KeyToPath{{Key: "x", Path: "x"}}}, `there is no key "x"`},
		"no key, optional": {corev1.SecretVolumeSource{SecretName: "s", Optional: &yes, Items: []corev1.KeyToPath{{Key: "x", Path: "x"}}}, ""},
		"out of it":        {corev1.SecretVolumeSource{SecretName: "s", Items: []corev1.KeyToPath{{Key: "k", Path: "../x"}}}, "leads out of the volume"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "n"}, Spec: corev1.PodSpec{
				Volumes: []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{Secret: &c.secret}}}}}
			dir := t.TempDir()
			err := Volumes(t.Context(), objects, pod, dir)
			if c.want != "" {
				g.Expect(err).To(MatchError(ContainSubstring(c.want)))
				g.Expect(filepath.Join(dir, "v")).NotTo(BeADirectory(), "a volume is whole or not there")
				return
			}
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(os.WriteFile(filepath.Join(dir, "v", "new"), nil, 0o600)).To(Succeed())
			g.Expect(Volumes(t.Context(), objects, pod, dir)).To(Succeed())
			g.Expect(filepath.Join(dir, "v", "new")).To(BeARegularFile(), "made again it stays as it is")
		})
	}
}
