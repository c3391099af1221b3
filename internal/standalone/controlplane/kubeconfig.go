// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"fmt"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
)

// Credential returns a configuration that speaks as the named user.
func (c *ControlPlane) Credential(user string, groups ...string) (*rest.Config, error) {
	pair, err := c.authority.Issue(user, groups, nil)
	if err != nil {
		return nil, err
	}
	return &rest.Config{
		Host:            c.URL,
		TLSClientConfig: rest.TLSClientConfig{CAData: c.authority.PEM, CertData: pair.Cert, KeyData: pair.Key},
	}, nil
}

// ServiceAccount returns a configuration that speaks as a service account: the API server applies to it the very RBAC
// that it applies to a Pod of that account.
func (c *ControlPlane) ServiceAccount(namespace, name string) (*rest.Config, error) {
	return c.Credential("system:serviceaccount:"+namespace+":"+name, "system:serviceaccounts", "system:serviceaccounts:"+namespace)
}

// Kubeconfig renders a configuration as the file that kubectl and the components read.
func Kubeconfig(config *rest.Config) ([]byte, error) {
	const name = "slipway"
	file := api.NewConfig()
	file.Clusters[name] = &api.Cluster{Server: config.Host, CertificateAuthorityData: config.CAData}
	file.AuthInfos[name] = &api.AuthInfo{ClientCertificateData: config.CertData, ClientKeyData: config.KeyData}
	file.Contexts[name] = &api.Context{Cluster: name, AuthInfo: name}
	file.CurrentContext = name
	content, err := clientcmd.Write(*file)
	if err != nil {
		return nil, fmt.Errorf("render a kubeconfig: %w", err)
	}
	return content, nil
}
