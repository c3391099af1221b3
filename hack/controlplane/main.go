// Command controlplane is one binary with etcd, kube-apiserver, kube-controller-manager and kubectl in it. It runs
// the one that its own name (a symbolic link) or its first argument names. Standalone and the tests run these real
// components; a module of its own keeps their dependencies out of Slipway's.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	kubectl "k8s.io/kubectl/pkg/cmd"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
)

// commands makes the command of each component by the name of its upstream binary.
var commands = map[string]func() *cobra.Command{
	"kube-apiserver":          apiserver.NewAPIServerCommand,
	"kube-controller-manager": controllermanager.NewControllerManagerCommand,
	"kubectl":                 kubectl.NewDefaultKubectlCommand,
}

func main() {
	run(filepath.Base(os.Args[0]))
	if len(os.Args) > 1 {
		os.Args = os.Args[1:]
		run(os.Args[0])
	}
	fmt.Fprintln(os.Stderr, "usage: controlplane etcd|kube-apiserver|kube-controller-manager|kubectl [flags]")
	os.Exit(2)
}

// run runs the named component and does not return; for an unknown name it returns at once.
func run(name string) {
	if name == "etcd" {
		etcdmain.Main(os.Args)
		os.Exit(0)
	}
	if command, ok := commands[name]; ok {
		os.Exit(cli.Run(command()))
	}
}
