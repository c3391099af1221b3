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
			Conditions: []corev1.NodeCondition{ready},
		},
	}
}

// ReasonEngineUnavailable is why the Node is not ready and containers wait while the engine does not answer.
const ReasonEngineUnavailable = "EngineUnavailable"

// Register makes the Node or brings its status up to date, and renews its Lease. Call it every ten seconds.
func Register(ctx context.Context, client kubernetes.Interface, want *corev1.Node, now time.Time) error {
	nodes := client.CoreV1().Nodes()
	have, err := nodes.Get(ctx, want.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		have, err = nodes.Create(ctx, want, metav1.CreateOptions{})
	}
	if err != nil {
		return fmt.Errorf("node %s: %w", want.Name, err)
	}
	status := want.Status.DeepCopy()
	if len(have.Status.Conditions) > 0 {
		old, c := have.Status.Conditions[0], &status.Conditions[0]
		if old.Status == c.Status {
			c.LastTransitionTime = old.LastTransitionTime
		}
		// The Lease is the heartbeat; the status is written when something else has changed.
		if now.Sub(old.LastHeartbeatTime.Time) < 5*time.Minute {
			c.LastHeartbeatTime = old.LastHeartbeatTime
		}
	}
	// NodeInfo is compared by what we say: the rest is nobody's.
	if !reflect.DeepEqual(have.Status.Conditions, status.Conditions) || have.Status.DaemonEndpoints != status.DaemonEndpoints ||
		!reflect.DeepEqual(have.Status.Addresses, status.Addresses) {
		have = have.DeepCopy()
		have.Status = *status
		if _, err := nodes.UpdateStatus(ctx, have, metav1.UpdateOptions{}); err != nil {
			return fmt.Errorf("status of node %s: %w", want.Name, err)
		}
	}
	return renew(ctx, client, have, now)
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
