// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/go-logr/logr"
	. "github.com/onsi/gomega"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/test/env"
)

const busybox = "slipway/busybox:test"

// TestMain makes the image that the tests run. Where no engine answers, the tests that need one say so.
func TestMain(m *testing.M) {
	if out, err := exec.Command("../../../hack/images/build.sh", "busybox").CombinedOutput(); err != nil {
		noEngine = fmt.Sprintf("hack/images/build.sh busybox: %s\n%s", err, out)
	}
	log.SetLogger(logr.Discard())
	env.Main(m, env.WithControllerManager())
}

// noEngine is why the tests that need the engine cannot run.
var noEngine string

// needsEngine skips a test where there is no engine, and fails it where every part is required.
func needsEngine(t *testing.T) {
	t.Helper()
	switch {
	case noEngine == "":
	case os.Getenv("SLIPWAY_REQUIRE_ALL") == "1":
		t.Fatal("SLIPWAY_REQUIRE_ALL=1 and no container engine: " + noEngine)
	default:
		t.Skip("no container engine: " + noEngine)
	}
}

func runner(t *testing.T, node, state string, change ...func(*Options)) (stop func()) {
	t.Helper()
	needsEngine(t)
	g := NewWithT(t)
	cp := env.ControlPlane(t)
	pair, err := cp.NodeCertificate(node, "127.0.0.1", node)
	g.Expect(err).NotTo(HaveOccurred())
	authority := x509.NewCertPool()
	g.Expect(authority.AppendCertsFromPEM(cp.KubeletAuthority)).To(BeTrue())
	cert, err := tls.X509KeyPair(pair.Cert, pair.Key)
	g.Expect(err).NotTo(HaveOccurred())
	options := Options{NodeName: node, NodeAddress: "127.0.0.1", NodeConfig: env.Node(t, node), BinderConfig: env.Binder(t),
		ListenAddress: "127.0.0.1:0", ServingCert: cert, ClientCA: authority, AllowedClientCN: "kube-apiserver-kubelet-client", StateDir: state,
		Network: "slw-" + node}
	for _, c := range change {
		c(&options)
	}
	r, err := New(options)
	g.Expect(err).NotTo(HaveOccurred())
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		g.Eventually(done, "20s").Should(Receive(BeNil()))
	}
	t.Cleanup(func() {
		stop()
		engine, err := newEngine("") // the runner's own may be one that is down
		g.Expect(err).NotTo(HaveOccurred())
		g.Eventually(func(g Gomega) { // the engine may be removing what a stopped runner asked it to
			left, err := engine.ContainerList(context.Background(), container.ListOptions{All: true,
				Filters: filters.NewArgs(filters.Arg("label", labelOwner+"="+r.owner()))})
			g.Expect(err).NotTo(HaveOccurred())
			for _, c := range left {
				_ = engine.ContainerRemove(context.Background(), c.ID, container.RemoveOptions{Force: true})
			}
			g.Expect(left).To(BeEmpty())
		}, "20s", "100ms").Should(Succeed())
		removeNetwork(t, engine, options.Network)
	})
	return stop
}

func job(namespace, name string, change func(*corev1.PodSpec)) *batchv1.Job {
	none := int32(0)
	container := func(name, script string) corev1.Container {
		return corev1.Container{Name: name, Image: busybox, ImagePullPolicy: corev1.PullIfNotPresent, Command: []string{"sh", "-c", script},
			VolumeMounts: []corev1.VolumeMount{{Name: "src", MountPath: "/src"}}}
	}
	spec := corev1.PodSpec{
		RestartPolicy: corev1.RestartPolicyNever, NodeSelector: map[string]string{v1alpha1.LabelBuildNode: "true"},
		Tolerations:    []corev1.Toleration{{Key: v1alpha1.TaintBuildNode, Operator: corev1.TolerationOpExists}},
		InitContainers: []corev1.Container{container("fetch", "echo one > /src/f"), container("build", "echo two >> /src/f")},
		Containers:     []corev1.Container{container("publish", "cat /src/f; cat /src/f > /dev/termination-log")},
		Volumes:        []corev1.Volume{{Name: "src", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}},
	}
	off := false
	spec.AutomountServiceAccountToken = &off
	if change != nil {
		change(&spec)
	}
	return &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace}, Spec: batchv1.JobSpec{BackoffLimit: &none,
		Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{v1alpha1.LabelManagedBy: v1alpha1.ManagedBy}}, Spec: spec}}}
}

type world struct {
	*WithT
	kube            kubernetes.Interface
	node, namespace string
}

// newWorld is a namespace whose Jobs run on one runner's node: tests run side by side.
func newWorld(t *testing.T, node string) world {
	t.Helper()
	kube, err := kubernetes.NewForConfig(env.Config(t))
	if err != nil {
		t.Fatal(err)
	}
	return world{NewWithT(t), kube, node, env.Namespace(t)}
}

func (w world) create(t *testing.T, name string, change func(*corev1.PodSpec)) {
	t.Helper()
	made := job(w.namespace, name, change)
	made.Spec.Template.Spec.NodeSelector[corev1.LabelHostname] = w.node
	_, err := w.kube.BatchV1().Jobs(w.namespace).Create(t.Context(), made, metav1.CreateOptions{})
	w.Expect(err).NotTo(HaveOccurred())
}

func (w world) pod(t *testing.T, name string) func(Gomega) *corev1.Pod {
	return func(g Gomega) *corev1.Pod {
		list, err := w.kube.CoreV1().Pods(w.namespace).List(t.Context(), metav1.ListOptions{LabelSelector: "job-name=" + name})
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(list.Items).NotTo(BeEmpty())
		return &list.Items[0]
	}
}

func (w world) ends(t *testing.T, name string, kind batchv1.JobConditionType) {
	t.Helper()
	w.Eventually(func(g Gomega) {
		j, err := w.kube.BatchV1().Jobs(w.namespace).Get(t.Context(), name, metav1.GetOptions{})
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(j.Status.Conditions).To(ContainElement(HaveField("Type", kind)), "%+v", j.Status)
	}, "60s", "200ms").Should(Succeed())
}

// running says whether the Pod's init container of that index runs.
func (w world) running(t *testing.T, name string, index int) func(Gomega) {
	return func(g Gomega) {
		statuses := w.pod(t, name)(g).Status.InitContainerStatuses
		g.Expect(len(statuses)).To(BeNumerically(">", index))
		g.Expect(statuses[index].State.Running).NotTo(BeNil())
	}
}

// delete deletes a Job and its Pods.
func (w world) delete(t *testing.T, name string) {
	t.Helper()
	background := metav1.DeletePropagationBackground
	err := w.kube.BatchV1().Jobs(w.namespace).Delete(t.Context(), name, metav1.DeleteOptions{PropagationPolicy: &background})
	w.Expect(client.IgnoreNotFound(err)).To(Succeed())
}

// log is what the API server hands out as the log of a Pod's last container.
func (w world) log(t *testing.T, pod string) (string, error) {
	stream, err := w.kube.CoreV1().Pods(w.namespace).GetLogs(pod, &corev1.PodLogOptions{Container: "publish"}).Stream(t.Context())
	if err != nil {
		return "", err
	}
	defer stream.Close()
	text, err := io.ReadAll(stream)
	return string(text), err
}

// gone waits until no Pod of the Job is left.
func (w world) gone(t *testing.T, name, within string) {
	t.Helper()
	w.Eventually(func(g Gomega) {
		list, err := w.kube.CoreV1().Pods(w.namespace).List(t.Context(), metav1.ListOptions{LabelSelector: "job-name=" + name})
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(list.Items).To(BeEmpty())
	}, within, "100ms").Should(Succeed())
}

func TestJobs(t *testing.T) {
	t.Parallel()
	runner(t, "builder", t.TempDir())
	w := newWorld(t, "builder")
	_, err := w.kube.CoreV1().Secrets(w.namespace).Create(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "s"},
		StringData: map[string]string{"k": "v"}}, metav1.CreateOptions{})
	w.Expect(err).NotTo(HaveOccurred())
	deadline := int64(2)
	w.create(t, "good", nil)
	w.create(t, "bad", func(s *corev1.PodSpec) { s.InitContainers[1].Command = []string{"sh", "-c", "exit 7"} })
	w.create(t, "late", func(s *corev1.PodSpec) {
		s.ActiveDeadlineSeconds = &deadline
		zero := int64(1)
		s.TerminationGracePeriodSeconds = &zero
		s.InitContainers[1].Command = []string{"sleep", "600"}
	})
	w.create(t, "missing", func(s *corev1.PodSpec) {
		s.InitContainers[1].Image = "slipway/none:x"
		s.InitContainers[1].ImagePullPolicy = corev1.PullNever
	})
	w.create(t, "secret", func(s *corev1.PodSpec) {
		s.Volumes = append(s.Volumes, corev1.Volume{Name: "s", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "s"}}})
		c := &s.InitContainers[0]
		c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: "s", MountPath: "/s"})
		c.Env = []corev1.EnvVar{{Name: "K", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: "s"}, Key: "k"}}}}
		c.Command = []string{"sh", "-ec", `test "$K" = v; test "$(cat /s/k)" = v`}
	})
	w.create(t, "loud", func(s *corev1.PodSpec) {
		s.Containers[0].Command = []string{"sh", "-c", "yes 0123456789012345678901234567890123456789012345678 | head -n 1000000"}
	})
	w.create(t, "refused", func(s *corev1.PodSpec) { s.HostNetwork = true })

	w.ends(t, "good", batchv1.JobComplete)
	pod := w.pod(t, "good")(w)
	w.Expect(pod.Status.Phase).To(Equal(corev1.PodSucceeded))
	w.Expect(pod.Status.ContainerStatuses[0].State.Terminated.Message).To(Equal("one\ntwo\n"))
	logs, err := w.kube.CoreV1().Pods(w.namespace).GetLogs(pod.Name, &corev1.PodLogOptions{Follow: true}).Stream(t.Context())
	w.Expect(err).NotTo(HaveOccurred())
	text, err := io.ReadAll(logs)
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(string(text)).To(Equal("one\ntwo\n"))

	w.ends(t, "loud", batchv1.JobComplete)
	logs, err = w.kube.CoreV1().Pods(w.namespace).GetLogs(w.pod(t, "loud")(w).Name, &corev1.PodLogOptions{}).Stream(t.Context())
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(io.Copy(io.Discard, logs)).To(BeEquivalentTo(50_000_000))

	w.ends(t, "bad", batchv1.JobFailed)
	w.Expect(w.pod(t, "bad")(w).Status.InitContainerStatuses[1].State.Terminated.ExitCode).To(Equal(int32(7)))
	w.ends(t, "late", batchv1.JobFailed)
	w.Expect(w.pod(t, "late")(w).Status.Reason).To(Equal("DeadlineExceeded"))
	w.ends(t, "refused", batchv1.JobFailed)
	w.Expect(w.pod(t, "refused")(w).Status.Message).To(ContainSubstring("hostNetwork is not supported"))
	w.ends(t, "secret", batchv1.JobComplete)
	w.ends(t, "missing", batchv1.JobFailed)
	w.Expect(w.pod(t, "missing")(w).Status.Reason).To(Equal("ErrImageNeverPull"))
}

func TestRestartAndDeletion(t *testing.T) {
	t.Parallel()
	state := t.TempDir()
	stop := runner(t, "restarted", state)
	w := newWorld(t, "restarted")
	w.create(t, "long", func(s *corev1.PodSpec) {
		s.InitContainers[1].Command = []string{"sh", "-c", "echo once >> /src/f; until test -e /src/go; do sleep 0.1; done"}
	})
	w.Eventually(w.running(t, "long", 1), "30s", "100ms").Should(Succeed())
	w.Expect(w.pod(t, "long")(w).Status.PodIP).To(MatchRegexp(`^\d+\.\d+\.\d+\.\d+$`))
	stop()
	w.Expect(os.WriteFile(filepath.Join(state, "pods", string(w.pod(t, "long")(w).UID), "volumes", "src", "go"), nil, 0o600)).To(Succeed())
	runner(t, "restarted", state)
	w.ends(t, "long", batchv1.JobComplete)
	w.Expect(w.pod(t, "long")(w).Status.ContainerStatuses[0].State.Terminated.Message).To(Equal("one\nonce\n"))

	w.create(t, "cancelled", func(s *corev1.PodSpec) {
		s.InitContainers[1].Command = []string{"sh", "-c", "trap 'exit 3' TERM; while :; do sleep 0.1; done"}
	})
	w.Eventually(w.running(t, "cancelled", 1), "30s", "100ms").Should(Succeed())
	w.delete(t, "cancelled")
	w.gone(t, "cancelled", "25s")
}
