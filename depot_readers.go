// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// depotReadPath is the non-resource URL that who reads from the depot may get.
const depotReadPath = "/slipway/depot"

// depotReaders asks the API server whether a token's owner may read from the depot.
func depotReaders(c client.Client) func(ctx context.Context, token string) error {
	return func(ctx context.Context, token string) error {
		review := &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: token}}
		if err := c.Create(ctx, review); err != nil {
			return fmt.Errorf("ask whose token it is: %w", err)
		}
		user := review.Status.User
		if !review.Status.Authenticated || user.Username == "" {
			return errors.New("the cluster does not know the token")
		}
		access := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
			User: user.Username, Groups: user.Groups, UID: user.UID,
			NonResourceAttributes: &authorizationv1.NonResourceAttributes{Path: depotReadPath, Verb: "get"},
		}}
		if err := c.Create(ctx, access); err != nil {
			return fmt.Errorf("ask what %s may: %w", user.Username, err)
		}
		if !access.Status.Allowed {
			return fmt.Errorf("%s may not get %s: the ClusterRole slipway-console has it", user.Username, depotReadPath)
		}
		return nil
	}
}
