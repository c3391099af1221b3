// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package processes

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/slipway-dev/slipway/internal/trust"
	"github.com/slipway-dev/slipway/test/env"
)

// get asks one of our processes; a certificate that nobody signed is as good as any here.
func get(url, token string) (status int, body string) {
	request, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return 0, err.Error()
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	asker := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	defer asker.CloseIdleConnections()
	response, err := asker.Do(request)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = response.Body.Close() }()
	content, _ := io.ReadAll(response.Body)
	return response.StatusCode, string(content)
}

func status(url string) func() int {
	return func() int { code, _ := get(url, ""); return code }
}

// scraper makes a service account and returns a token of it.
func scraper(t *testing.T, g *WithT, c client.Client, namespace string) (name, token string) {
	t.Helper()
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, GenerateName: "scraper-"}}
	g.Expect(c.Create(t.Context(), account)).To(Succeed())
	request := &authenticationv1.TokenRequest{}
	g.Expect(c.SubResource("token").Create(t.Context(), account, request)).To(Succeed())
	return account.Name, request.Status.Token
}

// The probes of config/manager and config/depot, and who may read metrics.
func TestProbesAndMetrics(t *testing.T) {
	c := bare(t)
	depotSSH, depotHealth, depotMetrics := freePort(t, "127.0.0.1"), freePort(t, "127.0.0.1"), freePort(t, "127.0.0.1")
	local := func(port int) string { return net.JoinHostPort("127.0.0.1", fmt.Sprint(port)) }
	// The depot alone: it lives, and it is not ready before it knows whom to let in.
	keys := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: trust.Namespace, Name: "slipway-manager-trust"}}
	c.g.Expect(client.IgnoreNotFound(c.client.Delete(t.Context(), keys))).To(Succeed())
	// A name and no loopback address, so that metrics are not for everybody.
	c.run("depot", env.Depot(t), "depot", "--data", filepath.Join(c.dir, "depot"), "--listen", local(depotSSH), "--advertise", local(depotSSH),
		"--health-address", local(depotHealth), "--metrics-address", fmt.Sprintf("0.0.0.0:%d", depotMetrics))
	c.g.Eventually(status("http://"+local(depotHealth)+"/healthz"), time.Minute).Should(Equal(http.StatusOK))
	code, why := get("http://"+local(depotHealth)+"/readyz", "")
	c.g.Expect(code).To(Equal(http.StatusServiceUnavailable))
	c.g.Expect(why).To(ContainSubstring("the manager's keys are not known yet"))

	health, metrics := freePort(t, "127.0.0.1"), freePort(t, "127.0.0.1")
	c.run("manager", env.Manager(t), "manager", "--metrics-address", local(metrics), "--health-address", local(health), "--slipway-image", "slipway:test")
	c.g.Eventually(status("http://"+local(health)+"/healthz"), time.Minute).Should(Equal(http.StatusOK))
	c.g.Eventually(status("http://"+local(health)+"/readyz"), time.Minute).Should(Equal(http.StatusOK))
	c.g.Eventually(status("http://"+local(depotHealth)+"/readyz"), time.Minute).Should(Equal(http.StatusOK), "the manager has published its keys")

	stranger, ignored := scraper(t, c.g, c.client, c.namespace)
	reader, token := scraper(t, c.g, c.client, c.namespace)
	c.g.Expect(stranger).NotTo(Equal(reader))
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: reader},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "slipway-metrics-reader"},
		Subjects:   []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: c.namespace, Name: reader}},
	}
	c.g.Expect(c.client.Create(t.Context(), binding)).To(Succeed())
	for url, says := range map[string]string{
		"https://" + local(metrics) + "/metrics":      "slipway_depot_answers_failed_total",
		"https://" + local(depotMetrics) + "/metrics": "slipway_depot_connections",
	} {
		c.g.Expect(status(url)()).To(Equal(http.StatusUnauthorized), url)
		code, _ := get(url, ignored)
		c.g.Expect(code).To(Equal(http.StatusForbidden), url)
		c.g.Eventually(func() string { _, body := get(url, token); return body }, time.Minute).Should(ContainSubstring(says), url)
	}
}
