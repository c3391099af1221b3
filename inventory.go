// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/inventory"
)

// inventoryCommand is an inventory script of Ansible's.
func inventoryCommand() *cobra.Command {
	var list, all bool
	var host, namespace string
	c := &cobra.Command{
		Use:   "inventory",
		Short: "Lists the hosts for Ansible (its protocol for inventory scripts)",
		Long: "Lists the hosts for Ansible, grouped by Service, Release, zone and readiness. Ansible runs a file: make one that says\n" +
			"  #!/bin/sh\n  exec slipway inventory \"$@\"\nand hand it to ansible -i. It speaks with the API server of KUBECONFIG, as whoever that names.",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if list == (host != "") {
				return fmt.Errorf("say either --list or --host NAME")
			}
			hosts, err := readInventory(c, namespace, all)
			if err != nil {
				return err
			}
			var answer any = hosts
			if host != "" {
				answer = map[string]any{} // what Ansible expects of a host that is not there
				if known := hosts.Host(host); known != nil {
					answer = known
				}
			}
			encoder := json.NewEncoder(c.OutOrStdout())
			encoder.SetIndent("", "  ")
			return encoder.Encode(answer)
		},
	}
	f := c.Flags()
	f.BoolVar(&list, "list", false, "print all hosts and groups")
	f.StringVar(&host, "host", "", "print what is known of one host")
	f.StringVarP(&namespace, "namespace", "n", "", "whose Services; default: that of the kubeconfig's context")
	f.BoolVarP(&all, "all-namespaces", "A", false, "the Services of all namespaces")
	return c
}

// readInventory asks the API server.
func readInventory(c *cobra.Command, namespace string, all bool) (*inventory.Inventory, error) {
	kubeconfig := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(clientcmd.NewDefaultClientConfigLoadingRules(), &clientcmd.ConfigOverrides{})
	config, err := kubeconfig.ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("find the API server: %w; set KUBECONFIG", err)
	}
	if namespace == "" {
		if namespace, _, err = kubeconfig.Namespace(); err != nil {
			return nil, fmt.Errorf("find the namespace: %w", err)
		}
	}
	if all {
		namespace = ""
	}
	reader, err := client.New(config, client.Options{Scheme: newScheme()})
	if err != nil {
		return nil, fmt.Errorf("connect to the API server: %w", err)
	}
	var services v1alpha1.ServiceList
	if err := reader.List(c.Context(), &services, client.InNamespace(namespace)); err != nil {
		return nil, fmt.Errorf("list Services: %w", err)
	}
	var targets v1alpha1.TargetList
	if err := reader.List(c.Context(), &targets, client.InNamespace(namespace)); err != nil {
		return nil, fmt.Errorf("list Targets: %w", err)
	}
	return inventory.New(services.Items, targets.Items), nil
}
