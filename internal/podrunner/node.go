// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package podrunner

import (
	"context"
	"fmt"
	"reflect"
	"runtime"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/slipway-dev/slipway/api/v1alpha1"
)

const leaseSeconds = 40

// NodeInfo is what is said about the Node.
type NodeInfo struct {
	Name, Address string
	// LogPort is the port of the log endpoint.
	LogPort int32
	Runtime string
	// MilliCPU and MemoryBytes are the machine's.
	MilliCPU, MemoryBytes int64
	// NotReady is why nothing can run, or "".
	NotReady string
	// MetadataReachable is why builds can reach a cloud's metadata service, or "".
	MetadataReachable string
}

// Node is the object for a machine that runs build Pods.
func Node(i NodeInfo, now time.Time) *corev1.Node {
	resources := corev1.ResourceList{
		corev1.ResourceCPU:    *resource.NewMilliQuantity(i.MilliCPU, resource.DecimalSI),
		corev1.ResourceMemory: *resource.NewQuantity(i.MemoryBytes, resource.BinarySI),
		corev1.ResourcePods:   resource.MustParse("110"),
	}
	ready := corev1.NodeCondition{Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "EngineReady",
		Message: "the container engine answers", LastTransitionTime: metav1.NewTime(now), LastHeartbeatTime: metav1.NewTime(now)}
	if i.NotReady != "" {
		ready.Status, ready.Reason, ready.Message = corev1.ConditionFalse, ReasonEngineUnavailable, i.NotReady
	}
	blocked := corev1.NodeCondition{Type: ConditionMetadataBlocked, Status: corev1.ConditionTrue, Reason: "MetadataBlocked",
		Message: "builds cannot reach a cloud's metadata service", LastTransitionTime: metav1.NewTime(now), LastHeartbeatTime: metav1.NewTime(now)}
	switch {
	case i.NotReady != "":
		blocked.Status, blocked.Reason, blocked.Message = corev1.ConditionUnknown, ReasonEngineUnavailable, "the network of builds is made when the engine answers"
	case i.MetadataReachable != "":
		blocked.Status, blocked.Reason, blocked.Message = corev1.ConditionFalse, ReasonMetadataReachable, i.MetadataReachable
	}
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: i.Name, Labels: map[string]string{
			v1alpha1.LabelBuildNode: "true", corev1.LabelHostname: i.Name,
			corev1.LabelOSStable: "linux", corev1.LabelArchStable: runtime.GOARCH,
		}},
		Spec: corev1.NodeSpec{Taints: []corev1.Taint{{Key: v1alpha1.TaintBuildNode, Value: "true", Effect: corev1.TaintEffectNoSchedule}}},
		Status: corev1.NodeStatus{
			Capacity: resources, Allocatable: resources,
			Addresses: []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: i.Address}, {Type: corev1.NodeHostName, Address: i.Name}},
			DaemonEndpoints: corev1.NodeDaemonEndpoints{
				KubeletEndpoint: corev1.DaemonEndpoint{Port: i.LogPort}},
			NodeInfo:   corev1.NodeSystemInfo{ContainerRuntimeVersion: i.Runtime, OperatingSystem: "linux", Architecture: runtime.GOARCH},
			Conditions: []corev1.NodeCondition{ready, blocked},
		},
	}
}

// ReasonEngineUnavailable is why the Node is not ready and containers wait while the engine does not answer.
const ReasonEngineUnavailable = "EngineUnavailable"

// ConditionMetadataBlocked of the Node says whether builds are kept from a cloud's metadata service, where they would
// find the machine's own credentials.
const ConditionMetadataBlocked corev1.NodeConditionType = "MetadataBlocked"

// ReasonMetadataReachable is why ConditionMetadataBlocked is False, and the reason of an Event on the Node that says so.
const ReasonMetadataReachable = "MetadataReachable"

// Register makes the Node or brings its status up to date, renews its Lease and returns the Node. Call it every ten
// seconds.
func Register(ctx context.Context, client kubernetes.Interface, want *corev1.Node, now time.Time) (*corev1.Node, error) {
	nodes := client.CoreV1().Nodes()
	have, err := nodes.Get(ctx, want.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		have, err = nodes.Create(ctx, want, metav1.CreateOptions{})
	}
	if err != nil {
		return nil, fmt.Errorf("node %s: %w", want.Name, err)
	}
	status := want.Status.DeepCopy()
	for i := range status.Conditions {
		c := &status.Conditions[i]
		for _, old := range have.Status.Conditions {
			if old.Type != c.Type {
				continue
			}
			if old.Status == c.Status {
				c.LastTransitionTime = old.LastTransitionTime
			}
			// The Lease is the heartbeat; the status is written when something else has changed.
			if now.Sub(old.LastHeartbeatTime.Time) < 5*time.Minute {
				c.LastHeartbeatTime = old.LastHeartbeatTime
			}
		}
	}
	// NodeInfo is compared by what we say: the rest is nobody's.
	if !reflect.DeepEqual(have.Status.Conditions, status.Conditions) || have.Status.DaemonEndpoints != status.DaemonEndpoints ||
		!reflect.DeepEqual(have.Status.Addresses, status.Addresses) {
		have = have.DeepCopy()
		have.Status = *status
		if _, err := nodes.UpdateStatus(ctx, have, metav1.UpdateOptions{}); err != nil {
			return nil, fmt.Errorf("status of node %s: %w", want.Name, err)
		}
	}
	return have, renew(ctx, client, have, now)
}

func renew(ctx context.Context, client kubernetes.Interface, node *corev1.Node, now time.Time) error {
	leases := client.CoordinationV1().Leases(corev1.NamespaceNodeLease)
	seconds, at := int32(leaseSeconds), metav1.NewMicroTime(now)
	lease, err := leases.Get(ctx, node.Name, metav1.GetOptions{})
	missing := apierrors.IsNotFound(err)
	if missing {
		lease = &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: node.Name, Namespace: corev1.NamespaceNodeLease,
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "v1", Kind: "Node", Name: node.Name, UID: node.UID}}}}
	} else if err != nil {
		return fmt.Errorf("lease of node %s: %w", node.Name, err)
	}
	lease.Spec = coordinationv1.LeaseSpec{HolderIdentity: &node.Name, LeaseDurationSeconds: &seconds, RenewTime: &at}
	if missing {
		_, err = leases.Create(ctx, lease, metav1.CreateOptions{})
	} else {
		_, err = leases.Update(ctx, lease, metav1.UpdateOptions{})
	}
	if err != nil {
		return fmt.Errorf("lease of node %s: %w", node.Name, err)
	}
	return nil
}
