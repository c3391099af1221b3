// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package podrunner

import (
	"context"
	"log/slog"
	"maps"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"

	"github.com/slipway-dev/slipway/api/v1alpha1"
)

// Fits says whether the binder may give the Pod to a Node with these labels and taints.
func Fits(pod *corev1.Pod, nodeLabels map[string]string, taints []corev1.Taint) bool {
	if pod.Spec.NodeName != "" || pod.DeletionTimestamp != nil || len(pod.Spec.SchedulingGates) > 0 ||
		pod.Labels[v1alpha1.LabelManagedBy] != v1alpha1.ManagedBy {
		return false
	}
	if !labels.SelectorFromSet(maps.Clone(pod.Spec.NodeSelector)).Matches(labels.Set(nodeLabels)) {
		return false
	}
	for _, taint := range taints {
		if !tolerated(pod.Spec.Tolerations, taint) {
			return false
		}
	}
	return true
}

func tolerated(tolerations []corev1.Toleration, taint corev1.Taint) bool {
	for _, t := range tolerations {
		if t.Effect != "" && t.Effect != taint.Effect || t.Key != "" && t.Key != taint.Key {
			continue
		}
		if t.Operator == corev1.TolerationOpExists || t.Key != "" && t.Value == taint.Value {
			return true
		}
	}
	return false
}

// Bind gives pending build Pods to the Node until ctx ends. It is the only scheduler of a machine without one.
func Bind(ctx context.Context, client kubernetes.Interface, node *corev1.Node, log *slog.Logger) error {
	factory := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithTweakListOptions(func(o *metav1.ListOptions) {
		o.LabelSelector = labels.Set{v1alpha1.LabelManagedBy: v1alpha1.ManagedBy}.String()
		o.FieldSelector = fields.OneTermEqualSelector("spec.nodeName", "").String()
	}))
	pods := factory.Core().V1().Pods()
	queue := workqueue.NewTypedRateLimitingQueue(workqueue.NewTypedItemExponentialFailureRateLimiter[string](200*time.Millisecond, 10*time.Second))
	add := func(o any) {
		if key, err := cache.MetaNamespaceKeyFunc(o); err == nil {
			queue.Add(key)
		}
	}
	if _, err := pods.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{AddFunc: add, UpdateFunc: func(_, o any) { add(o) }}); err != nil {
		return err
	}
	factory.Start(ctx.Done())
	go func() { <-ctx.Done(); queue.ShutDown() }()
	for {
		key, quit := queue.Get()
		if quit {
			factory.Shutdown()
			return nil
		}
		namespace, name, _ := cache.SplitMetaNamespaceKey(key)
		pod, err := pods.Lister().Pods(namespace).Get(name)
		if err == nil && Fits(pod, node.Labels, node.Spec.Taints) {
			err = client.CoreV1().Pods(namespace).Bind(ctx, &corev1.Binding{
				ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace, UID: pod.UID},
				Target:     corev1.ObjectReference{Kind: "Node", Name: node.Name},
			}, metav1.CreateOptions{})
		}
		if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) && ctx.Err() == nil {
			log.Error("cannot bind a Pod; it is tried again", "pod", key, "err", err)
			queue.AddRateLimited(key)
		} else {
			queue.Forget(key)
		}
		queue.Done(key)
	}
}
