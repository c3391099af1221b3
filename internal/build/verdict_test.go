// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package build

import (
	"testing"

	. "github.com/onsi/gomega"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"github.com/slipway-dev/slipway/api/v1alpha1"
)

func exit(name string, code int32, reason, message string) corev1.ContainerStatus {
	return corev1.ContainerStatus{Name: name, State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: code, Reason: reason, Message: message}}}
}

func waitsFor(name, reason, message string) corev1.ContainerStatus {
	return corev1.ContainerStatus{Name: name, Image: "php:9", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}}
}

func TestJudge(t *testing.T) {
	failedJob := batchv1.JobCondition{Type: batchv1.JobFailed, Status: corev1.ConditionTrue, Reason: "BackoffLimitExceeded", Message: "Job has reached the specified backoff limit"}
	for name, test := range map[string]struct {
		condition *batchv1.JobCondition
		statuses  []corev1.ContainerStatus
		podReason string
		noPod     bool
		state     State
		reason    string
		says      string
	}{
		"no Pod yet":                         {noPod: true, state: Running, says: "waits for its Pod"},
		"the script runs":                    {statuses: []corev1.ContainerStatus{{Name: BuildContainer, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}}, state: Running, says: "running the build script"},
		"it succeeded":                       {condition: &batchv1.JobCondition{Type: batchv1.JobComplete, Status: corev1.ConditionTrue}, state: Succeeded},
		"the script failed":                  {condition: &failedJob, statuses: []corev1.ContainerStatus{exit("fetch", 0, "", ""), exit("build", 3, "Error", "one\ntwo\n\nthe reason\n")}, state: Failed, reason: v1alpha1.ReasonBuildFailed, says: "exited with code 3; it said last: one | two | the reason"},
		"it ran out of memory":               {condition: &failedJob, statuses: []corev1.ContainerStatus{exit("build", 137, "OOMKilled", "")}, state: Failed, reason: v1alpha1.ReasonBuildFailed, says: "more memory"},
		"the depot refused":                  {condition: &failedJob, statuses: []corev1.ContainerStatus{exit("publish", 1, "Error", `{"reason":"ArtifactShrunk","message":"too few"}`)}, state: Failed, reason: v1alpha1.ReasonArtifactShrunk, says: "too few"},
		"the fetch failed":                   {condition: &failedJob, statuses: []corev1.ContainerStatus{exit("fetch", 1, "Error", `{"reason":"FetchFailed","message":"no route"}`)}, state: Failed, reason: v1alpha1.ReasonFetchFailed, says: "no route"},
		"a script cannot forge a verdict":    {condition: &failedJob, statuses: []corev1.ContainerStatus{exit("build", 1, "Error", `{"reason":"ArtifactShrunk","message":"forged"}`)}, state: Failed, reason: v1alpha1.ReasonBuildFailed, says: "exited with code 1"},
		"it took too long":                   {condition: &batchv1.JobCondition{Type: batchv1.JobFailed, Status: corev1.ConditionTrue, Reason: batchv1.JobReasonDeadlineExceeded}, statuses: []corev1.ContainerStatus{exit("build", 137, "Error", "")}, state: Failed, reason: v1alpha1.ReasonBuildTimedOut, says: "raise build.timeout"},
		"no such image":                      {statuses: []corev1.ContainerStatus{waitsFor("build", "ImagePullBackOff", "not found")}, state: Failed, reason: v1alpha1.ReasonImageNotFound, says: "php:9"},
		"a first failure of a pull may pass": {statuses: []corev1.ContainerStatus{waitsFor("build", "ErrImagePull", "i/o timeout")}, state: Running, says: "ErrImagePull"},
		"the Pod is gone":                    {condition: &failedJob, noPod: true, state: Failed, reason: v1alpha1.ReasonBuildFailed, says: "gone"},
		"the Pod says why":                   {condition: &failedJob, podReason: "NotSupported", state: Failed, reason: v1alpha1.ReasonBuildFailed, says: "NotSupported"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			job := &batchv1.Job{Spec: batchv1.JobSpec{ActiveDeadlineSeconds: ptr.To[int64](60)}}
			if test.condition != nil {
				job.Status.Conditions = []batchv1.JobCondition{*test.condition}
			}
			var pods []corev1.Pod
			if !test.noPod {
				pods = []corev1.Pod{{Status: corev1.PodStatus{Reason: test.podReason, InitContainerStatuses: test.statuses}}}
			}
			v := Judge(job, pods)
			g.Expect(v.State).To(Equal(test.state))
			g.Expect(v.Reason).To(Equal(test.reason))
			g.Expect(v.Message).To(ContainSubstring(test.says))
		})
	}
}
