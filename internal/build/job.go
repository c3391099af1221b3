// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package build

import (
	"fmt"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/depot"
)

// Names and places in a build Pod.
const (
	// FetchContainer brings the source, BuildContainer runs the script, PublishContainer sends the result to the depot.
	FetchContainer   = "fetch"
	BuildContainer   = "build"
	PublishContainer = "publish"

	// SourceDir is where the source is, in all three containers.
	SourceDir = "/slipway/src"
	// HomeDir is the script's home: tools keep their caches there. It goes with the Pod.
	HomeDir = "/slipway/home"
	// CredentialDir holds what fetch and publish show to the depot. The build container does not see it.
	CredentialDir = "/slipway/credential" //nolint:gosec // a place, not a credential
)

// buildUser runs all three containers: nobody's user, so that Pod Security "restricted" holds.
const buildUser = 65532

// keepFinished is how long a finished Job stays: its result is on record before, so this is for people only.
const keepFinished = 24 * 60 * 60

// stopGrace is how many seconds a container gets between SIGTERM and SIGKILL.
const stopGrace = 5

// Job makes the Job of one build attempt.
func Job(in Input) *batchv1.Job {
	labels := map[string]string{
		v1alpha1.LabelService: in.Service, v1alpha1.LabelRelease: labelValue(in.Release), v1alpha1.LabelManagedBy: v1alpha1.ManagedBy,
	}
	return &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: in.Namespace, Name: in.JobName, Labels: labels,
			Annotations: map[string]string{v1alpha1.AnnotationImage: in.Build.Image},
		},
		Spec: batchv1.JobSpec{
			BackoffLimit:            ptr.To[int32](0),
			ActiveDeadlineSeconds:   ptr.To(int64(in.Build.Timeout.Seconds())),
			TTLSecondsAfterFinished: ptr.To[int32](keepFinished),
			PodReplacementPolicy:    ptr.To(batchv1.Failed),
			// A Pod that was evicted or whose node went away is no failed build: it is made again.
			PodFailurePolicy: &batchv1.PodFailurePolicy{Rules: []batchv1.PodFailurePolicyRule{{
				Action:          batchv1.PodFailurePolicyActionIgnore,
				OnPodConditions: []batchv1.PodFailurePolicyOnPodConditionsPattern{{Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue}},
			}}},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: pod(in)},
		},
	}
}

// pod is the fixed template of a build Pod. Nothing of the Service reaches it but as data.
func pod(in Input) corev1.PodSpec {
	source := corev1.VolumeMount{Name: "src", MountPath: SourceDir}
	home := corev1.VolumeMount{Name: "home", MountPath: HomeDir}
	credential := corev1.VolumeMount{Name: "credential", MountPath: CredentialDir, ReadOnly: true}
	return corev1.PodSpec{
		RestartPolicy:                corev1.RestartPolicyNever,
		AutomountServiceAccountToken: ptr.To(false),
		EnableServiceLinks:           ptr.To(false),
		// A shell that is process 1 ignores SIGTERM, and a build has nothing to save.
		TerminationGracePeriodSeconds: ptr.To[int64](stopGrace),
		SecurityContext: &corev1.PodSecurityContext{
			RunAsNonRoot: ptr.To(true), RunAsUser: ptr.To[int64](buildUser), RunAsGroup: ptr.To[int64](buildUser), FSGroup: ptr.To[int64](buildUser),
			SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
		},
		Tolerations: []corev1.Toleration{{Key: v1alpha1.TaintBuildNode, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoSchedule}},
		Volumes: []corev1.Volume{
			{Name: "src", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
			{Name: "home", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
			{Name: "credential", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{
				SecretName: in.CredentialSecret, DefaultMode: ptr.To[int32](0o440),
			}}},
		},
		InitContainers: []corev1.Container{
			ours(in, FetchContainer, fetchArgs(in), source, credential),
			script(in, source, home),
		},
		Containers: []corev1.Container{
			ours(in, PublishContainer, publishArgs(in), source, credential),
		},
	}
}

// ours is a container of the slipway image.
func ours(in Input, name string, args []string, mounts ...corev1.VolumeMount) corev1.Container {
	return corev1.Container{
		Name: name, Image: in.SlipwayImage, ImagePullPolicy: corev1.PullIfNotPresent,
		Command: []string{"slipway", "build", name}, Args: args, VolumeMounts: mounts,
		Resources: corev1.ResourceRequirements{
			Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("50m"), corev1.ResourceMemory: resource.MustParse("64Mi")},
			Limits:   corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("512Mi")},
		},
		SecurityContext: confined(), TerminationMessagePolicy: corev1.TerminationMessageReadFile,
	}
}

// script is the build container: the language image, the Service's script as data in its environment.
func script(in Input, mounts ...corev1.VolumeMount) corev1.Container {
	text := in.Build.Script
	if text == "" {
		text = ":"
	}
	env := []corev1.EnvVar{
		{Name: "HOME", Value: HomeDir},
		{Name: "SLIPWAY_SERVICE", Value: in.Service}, {Name: "SLIPWAY_RELEASE", Value: in.Release},
		{Name: "SLIPWAY_COMMIT", Value: in.Commit}, {Name: "SLIPWAY_SCRIPT", Value: dollars(text)},
	}
	for _, e := range in.Build.Env {
		variable := corev1.EnvVar{Name: e.Name}
		if e.Value != nil {
			variable.Value = dollars(*e.Value)
		}
		if ref := e.SecretKeyRef; ref != nil {
			variable.ValueFrom = &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{
				LocalObjectReference: corev1.LocalObjectReference{Name: ref.Name}, Key: ref.Key,
			}}
		}
		env = append(env, variable)
	}
	resources := corev1.ResourceRequirements{Limits: in.Build.Resources.Limits, Requests: in.Build.Resources.Requests}
	return corev1.Container{
		Name: BuildContainer, Image: in.Image.Reference, ImagePullPolicy: corev1.PullIfNotPresent,
		// The text is one argv value: no outer shell reads it.
		Command: []string{"sh", "-c", `exec sh -eu -c "$SLIPWAY_SCRIPT"`}, WorkingDir: SourceDir,
		Env: env, Resources: resources, VolumeMounts: mounts, SecurityContext: confined(),
		TerminationMessagePolicy: corev1.TerminationMessageFallbackToLogsOnError,
	}
}

// dollars keeps Kubernetes from expanding $(NAME) in a value.
func dollars(text string) string {
	out := make([]byte, 0, len(text))
	for i := range len(text) {
		out = append(out, text[i])
		if text[i] == '$' {
			out = append(out, '$')
		}
	}
	return string(out)
}

// confined is what Pod Security "restricted" asks of a container.
func confined() *corev1.SecurityContext {
	return &corev1.SecurityContext{
		AllowPrivilegeEscalation: ptr.To(false),
		Capabilities:             &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
	}
}

func fetchArgs(in Input) []string {
	var args []string
	for _, cache := range in.Build.Cache {
		args = append(args, "--cache="+dollars(string(cache)))
	}
	return args
}

func publishArgs(in Input) []string {
	args := []string{"--output=" + dollars(string(in.Build.Output.Path))}
	for _, pattern := range in.Build.Output.Exclude {
		args = append(args, "--exclude="+dollars(string(pattern)))
	}
	return append(args, fetchArgs(in)...)
}

// labelValue shortens a name to what a label may hold: it ends in a letter or a digit.
func labelValue(name string) string { return strings.TrimRight(name[:min(63, len(name))], "-.") }

// CredentialSecret makes the Secret that fetch and publish show to the depot, and by which they know it.
func CredentialSecret(in Input, privateKey, certificate []byte, endpoint depot.Endpoint) *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: in.Namespace, Name: in.CredentialSecret,
			Labels: map[string]string{v1alpha1.LabelService: in.Service, v1alpha1.LabelManagedBy: v1alpha1.ManagedBy},
		},
		Immutable: ptr.To(true),
		Data: map[string][]byte{
			"id": privateKey, "id-cert.pub": certificate,
			"depot": fmt.Appendf(nil, "%s:%d\n", bracketed(endpoint.Host), endpoint.Port), "known_hosts": knownHosts(endpoint),
		},
	}
}

// knownHosts pins the depot by the authorities that sign its host key.
func knownHosts(endpoint depot.Endpoint) []byte {
	var out []byte
	for _, authority := range endpoint.HostCAs {
		out = fmt.Appendf(out, "@cert-authority [%s]:%d %s\n", endpoint.Host, endpoint.Port, authority)
	}
	return out
}

func bracketed(host string) string {
	for _, r := range host {
		if r == ':' {
			return "[" + host + "]"
		}
	}
	return host
}
