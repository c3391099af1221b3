// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package boot

import (
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/delivery"
	"github.com/slipway-dev/slipway/internal/depot"
	"github.com/slipway-dev/slipway/internal/discovery"
	"github.com/slipway-dev/slipway/internal/policy"
)

// Of lists the Services of which an instance is a host: a source of theirs names it and their policies permit it. seen is
// how it is described to each of the identities as which sources look; what a source can't see is no host of it.
func Of(words []depot.Word, seen map[discovery.Account]discovery.Instance) []depot.Word {
	var of []depot.Word
	for i := range words {
		permit := permitOf(&words[i])
		if slices.ContainsFunc(words[i].Sources, func(source v1alpha1.EC2Source) bool {
			instance, visible := seen[discovery.AccountOf(&source)]
			return visible && discovery.Serves(&source, instance, permit) == nil
		}) {
			of = append(of, words[i])
		}
	}
	return of
}

// Looks lists as whom the sources of all Services look for an instance of an account in a region. A role of another account
// can't see it: whoever shows a document of an instance of his own has nobody asked.
func Looks(words []depot.Word, region, accountID string) []discovery.Account {
	var accounts []discovery.Account
	for i := range words {
		for j := range words[i].Sources {
			account := discovery.AccountOf(&words[i].Sources[j])
			if owner := account.Owner(); account.Region == region && (owner == "" || owner == accountID) && !slices.Contains(accounts, account) {
				accounts = append(accounts, account)
			}
		}
	}
	return accounts
}

// permitOf is what the Service of a word may reach.
func permitOf(word *depot.Word) *policy.Permit {
	service := &v1alpha1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: word.Namespace, Name: word.Name}}
	service.Spec.SSH.User = word.SSHUser
	service.Spec.Deploy = word.Live
	for _, deploy := range word.Deploy { // of a manager that does not tell the live one; the path can't change
		service.Spec.Deploy = deploy
	}
	policies := make([]v1alpha1.TargetPolicy, len(word.Policies))
	for i := range policies {
		policies[i].Spec = word.Policies[i]
	}
	return policy.For(service, policies)
}

// Order is what a host runs for a Service: what the manager ordered last, or else what is current. nil means nothing yet.
// The endpoint of the depot and the credential are not part of it.
func Order(word *depot.Word, host string) *delivery.Order {
	record, fence := word.Current, int64(1)
	if known := word.Host(host); known != nil {
		fence = max(fence, known.Fence)
		if ordered := word.Record(known.Digest, known.Frozen); ordered != nil {
			record = ordered
		}
	}
	if record == nil {
		return nil
	}
	return &delivery.Order{
		Owner:  delivery.Owner{ID: word.Owner, Service: word.Service, AdoptFrom: word.AdoptFrom},
		Deploy: word.Deploy[record.Frozen], Fence: fence, ServiceName: word.Name,
		Digest: record.Digest, Commit: record.Commit, Revision: record.Revision, Release: record.Release,
		Keep: word.Keep, Boot: true,
	}
}
