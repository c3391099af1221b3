// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package delivery_test

import (
	"bytes"
	"context"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/delivery"
	"github.com/slipway-dev/slipway/internal/health"
	"github.com/slipway-dev/slipway/test/hosts"
)

// check looks at the host's health once.
func (s *site) check(check v1alpha1.HealthCheck) health.Answer {
	if check.Timeout.Duration == 0 {
		check.Timeout = metav1.Duration{Duration: 30 * time.Second}
	}
	deploy := s.deploy
	deploy.HealthCheck = &check
	answer, err := s.pool.Check(context.Background(), s.reach, deploy, nil)
	s.ExpectWithOffset(1, err).NotTo(HaveOccurred())
	return answer
}

func (s *site) listen(t *testing.T, port int) net.Listener {
	listener, err := s.host.Listen(fmt.Sprintf("127.0.0.1:%d", port))
	s.ExpectWithOffset(1, err).NotTo(HaveOccurred())
	t.Cleanup(func() { _ = listener.Close() })
	return listener
}

// serve answers on the host, by HTTP or HTTPS.
func (s *site) serve(t *testing.T, port int, tls bool, handler http.HandlerFunc) *httptest.Server {
	server := httptest.NewUnstartedServer(handler)
	server.Listener, server.Config.ErrorLog = s.listen(t, port), log.New(t.Output(), "", 0)
	if tls {
		server.StartTLS()
	} else {
		server.Start()
	}
	t.Cleanup(server.Close)
	return server
}

func TestHTTPChecks(t *testing.T) {
	s := newSite(t, hosts.Options{})
	endless, stop := context.WithCancel(context.Background())
	defer stop()
	mux := http.NewServeMux()
	mux.HandleFunc("/well", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "pong") })
	mux.HandleFunc("/bad", func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "no\tdatabase", http.StatusServiceUnavailable)
	})
	mux.HandleFunc("/there", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/bad", http.StatusFound) })
	mux.HandleFunc("/asked", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.Method, " ", r.Host, " ", r.RequestURI, " ", r.Header.Get("User-Agent"))
	})
	mux.HandleFunc("/huge", func(w http.ResponseWriter, _ *http.Request) {
		block := bytes.Repeat([]byte("x"), 1<<20)
		for range 1024 {
			if _, err := w.Write(block); err != nil {
				return
			}
		}
		fmt.Fprint(w, "pong")
	})
	mux.HandleFunc("/slow", func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-endless.Done():
		}
	})
	mux.HandleFunc("/drips", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "pi")
		w.(http.Flusher).Flush()
		select {
		case <-r.Context().Done():
		case <-endless.Done():
		}
	})
	s.serve(t, 8080, false, mux.ServeHTTP)
	get := func(path string, change ...func(*v1alpha1.HTTPCheck)) v1alpha1.HealthCheck {
		check := v1alpha1.HTTPCheck{Port: 8080, Path: path}
		for _, c := range change {
			c(&check)
		}
		return v1alpha1.HealthCheck{HTTP: &check}
	}
	body := func(text string) func(*v1alpha1.HTTPCheck) { return func(c *v1alpha1.HTTPCheck) { c.Body = text } }
	brief := func(check v1alpha1.HealthCheck) v1alpha1.HealthCheck {
		check.Timeout = metav1.Duration{Duration: time.Second}
		return check
	}
	for name, test := range map[string]struct {
		check v1alpha1.HealthCheck
		well  bool
		said  string
	}{
		"well":                          {check: get("/well", body("pong")), well: true, said: "GET http://127.0.0.1:8080/well: 200"},
		"another status":                {check: get("/bad"), said: `GET http://127.0.0.1:8080/bad: 503, wanted 200-399; body: "no\tdatabase\n"`},
		"a wanted status":               {check: get("/bad", func(c *v1alpha1.HTTPCheck) { c.Status = []v1alpha1.StatusRange{"503"} }), well: true, said: ": 503"},
		"another body":                  {check: get("/well", body("ping")), said: `do not hold "ping"; body: "pong"`},
		"a redirect":                    {check: get("/there"), well: true, said: ": 302"},
		"redirect refused":              {check: get("/there", func(c *v1alpha1.HTTPCheck) { c.Status = []v1alpha1.StatusRange{"200"} }), said: ": 302, wanted 200; body: "},
		"the request":                   {check: get("/asked?a=b%20c", body("GET "+s.reach.Address+" /asked?a=b%20c slipway-health")), well: true, said: ": 200"},
		"Host":                          {check: get("/asked", func(c *v1alpha1.HTTPCheck) { c.Host, c.Body = "blog.example.com", "GET blog.example.com /asked" }), well: true, said: ": 200"},
		"a gigabyte":                    {check: get("/huge"), well: true, said: ": 200"},
		"a needle in it":                {check: get("/huge", body("pong")), said: `the first 64 KiB of the body do not hold "pong"`},
		"slow":                          {check: brief(get("/slow")), said: "GET http://127.0.0.1:8080/slow: no answer within 1s"},
		"a slow body":                   {check: brief(get("/drips", body("ping"))), said: `do not hold "ping" (it was cut off: no answer within 1s); body: "pi"`},
		"a slow body that nobody needs": {check: get("/drips"), well: true, said: ": 200"},
		"nobody there":                  {check: v1alpha1.HealthCheck{HTTP: &v1alpha1.HTTPCheck{Port: 8081}}, said: "GET http://127.0.0.1:8081/: Connection refused"},
		"TLS to no TLS":                 {check: get("/well", func(c *v1alpha1.HTTPCheck) { c.Scheme = v1alpha1.SchemeHTTPS }), said: "GET https://127.0.0.1:8080/well: "},
		"tcp":                           {check: v1alpha1.HealthCheck{TCP: &v1alpha1.TCPCheck{Port: 8080}}, well: true, said: "connect to 127.0.0.1:8080: accepted"},
		"tcp to nobody":                 {check: v1alpha1.HealthCheck{TCP: &v1alpha1.TCPCheck{Port: 8081}}, said: "connect to 127.0.0.1:8081: Connection refused"},
	} {
		t.Run(name, func(t *testing.T) {
			s.WithT = NewWithT(t)
			answer := s.check(test.check)
			s.Expect(answer.Well).To(Equal(test.well), answer.Said)
			s.Expect(answer.Said).To(ContainSubstring(test.said))
		})
	}
}

// What speaks another language than HTTP, or for ever, keeps nobody waiting and fills no memory.
func TestServersThatAreNone(t *testing.T) {
	s := newSite(t, hosts.Options{})
	speak := func(port int, say func(io.Writer) error) {
		listener := s.listen(t, port)
		go func() {
			for {
				conn, err := listener.Accept()
				if err != nil {
					return
				}
				go func() {
					defer conn.Close()
					if say(conn) == nil {
						_, _ = io.Copy(io.Discard, conn)
					}
				}()
			}
		}()
	}
	speak(9001, func(w io.Writer) error {
		_, err := fmt.Fprint(w, "HTTP/1.1 200 OK\r\n")
		for err == nil {
			_, err = fmt.Fprintf(w, "X-Filler: %s\r\n", strings.Repeat("x", 4000))
		}
		return err
	})
	speak(9002, func(w io.Writer) error { _, err := fmt.Fprint(w, "220 smtp.example.com\x1b[2J\r\n"); return err })
	speak(9003, func(io.Writer) error { return nil })
	speak(9004, func(io.Writer) error { return io.EOF })
	for port, said := range map[int32]string{
		9001: "exceeded 65536 bytes", 9002: "malformed HTTP", 9003: "no answer within 1s", 9004: "the server closed the connection",
	} {
		check := v1alpha1.HealthCheck{HTTP: &v1alpha1.HTTPCheck{Port: port}, Timeout: metav1.Duration{Duration: 20 * time.Second}}
		if port == 9003 {
			check.Timeout.Duration = time.Second
		}
		answer := s.check(check)
		s.Expect(answer.Well).To(BeFalse())
		s.Expect(answer.Said).To(And(ContainSubstring(said), Not(ContainSubstring("\x1b"))))
	}
}

func TestHTTPSChecks(t *testing.T) {
	s := newSite(t, hosts.Options{})
	server := s.serve(t, 8443, true, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.TLS.ServerName) })
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	named := v1alpha1.CheckTLS{Verify: v1alpha1.TLSVerifyFull, CAConfigMapRef: &v1alpha1.LocalReference{Name: "ca"}}
	for name, test := range map[string]struct {
		host        string
		tls         *v1alpha1.CheckTLS
		authorities []byte
		said        string
	}{
		"the system's authorities": {host: "example.com", said: "certificate signed by unknown authority"},
		"its authority":            {host: "example.com", tls: &named, authorities: authority},
		"another name":             {host: "blog.example.org", tls: &named, authorities: authority, said: "not blog.example.org"},
		"the address for a name":   {tls: &named, authorities: authority, said: "valid for 127.0.0.1, ::1, not 10.213."},
		"no authority":             {host: "example.com", tls: &named, authorities: []byte("x"), said: "ConfigMap ca has no certificate in PEM under ca.crt"},
		"not verified":             {host: "blog.example.org", tls: &v1alpha1.CheckTLS{Verify: v1alpha1.TLSVerifyNone}},
	} {
		t.Run(name, func(t *testing.T) {
			s.WithT = NewWithT(t)
			deploy := s.deploy
			deploy.HealthCheck = &v1alpha1.HealthCheck{Timeout: metav1.Duration{Duration: 30 * time.Second},
				HTTP: &v1alpha1.HTTPCheck{Port: 8443, Scheme: v1alpha1.SchemeHTTPS, Host: test.host, TLS: test.tls, Body: test.host}}
			answer, err := s.pool.Check(t.Context(), s.reach, deploy, test.authorities)
			s.Expect(err).NotTo(HaveOccurred())
			s.Expect(answer.Well).To(Equal(test.said == ""), answer.Said)
			s.Expect(answer.Said).To(ContainSubstring(test.said))
		})
	}
}

func TestCommandChecks(t *testing.T) {
	for name, options := range map[string]hosts.Options{"dash": {}, "busybox": {Busybox: true}, "bash": {Shell: "/bin/bash", Tools: map[string]string{"sh": "-> /bin/bash"}}} {
		t.Run(name, func(t *testing.T) {
			if options.Busybox {
				if _, err := exec.LookPath("busybox"); err != nil {
					t.Fatal("busybox is missing: apt-get install busybox-static")
				}
			}
			s := newSite(t, options)
			s.deliver(s.order(s.depot.publish(t, first)))
			run := func(argv ...string) health.Answer { return s.check(v1alpha1.HealthCheck{Command: argv}) }
			brief := func(argv ...string) health.Answer {
				return s.check(v1alpha1.HealthCheck{Command: argv, Timeout: metav1.Duration{Duration: time.Second}})
			}
			s.Expect(run("true")).To(Equal(health.Answer{Well: true, Said: "command true ended with exit code 0"}))
			s.Expect(run("grep", "one", "index.php").Well).To(BeTrue(), "it runs in the live release's directory")
			s.Expect(run("sh", "-c", "id -un; echo $(id -g); exit 3")).To(Equal(health.Answer{Said: `command sh ended with exit code 3: "deploy 3001"`}))
			s.Expect(run("sh", "-c", `for a; do echo "[$a]"; done; exit 1`, "x", "$(touch /tmp/pwned)", "a  b'\"\\", "END", "ü")).
				To(HaveField("Said", ContainSubstring(`[$(touch /tmp/pwned)] [a  b'\"\\] [END] [ü]`)))
			s.Expect(s.shell("ls /tmp")).NotTo(ContainSubstring("pwned"))
			s.Expect(run("cat").Well).To(BeTrue(), "it reads nothing")
			s.Expect(run("/no/such/program")).To(HaveField("Said", MatchRegexp("exit code 12[67]: .*no/such/program")))
			s.Expect(run("sh", "-c", "exit 124").Said).To(HavePrefix("command sh ended with exit code 124"))

			late := brief("sleep", "300")
			s.Expect(late).To(Equal(health.Answer{Said: "command sleep did not end within 1s and was killed"}))
			s.Expect(brief("sh", "-c", "trap '' TERM; sleep 301 & while :; do :; done").Said).To(ContainSubstring("was killed"))
			s.Expect(brief("sh", "-c", "yes; exit 1").Said).To(And(ContainSubstring("was killed"), ContainSubstring("y y y")))
			s.Expect(run("sh", "-c", "sleep 302 & exit 0").Well).To(BeTrue(), "what it leaves behind keeps nobody waiting")
			s.Expect(run("sh", "-c", "setsid sleep 30 & exit 0").Well).To(BeTrue(), "nor does a daemon of its own")
			s.Eventually(func() string {
				return s.shell(`cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\0' ' ' | grep -c 'sleep 30[0-9]' || :`)
			}).
				Should(Equal("0\n"))
			s.Eventually(func() string { return s.shell("ls /dev/shm") }).Should(BeEmpty(), "nothing is left behind")
		})
	}
}

// Where sshd forbids what HTTP and TCP need, it is said what to do; a command needs none of it.
func TestForwardingForbidden(t *testing.T) {
	for name, line := range map[string]string{
		"all forwarding": "DisableForwarding yes", "TCP forwarding": "AllowTcpForwarding no", "this port": "PermitOpen 127.0.0.1:9999",
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, hosts.Options{SSHD: []string{line}})
			s.serve(t, 8080, false, func(http.ResponseWriter, *http.Request) {})
			for _, check := range []v1alpha1.HealthCheck{{HTTP: &v1alpha1.HTTPCheck{Port: 8080}}, {TCP: &v1alpha1.TCPCheck{Port: 8080}}} {
				answer := s.check(check)
				s.Expect(answer).To(And(HaveField("Well", false), HaveField("Refused", true), HaveField("Said", And(
					HavePrefix("sshd on "+s.host.Name+" does not let deploy reach 127.0.0.1:8080"), ContainSubstring("AllowTcpForwarding local")))))
			}
			s.Expect(s.check(v1alpha1.HealthCheck{Command: []string{"true"}}).Well).To(BeTrue())
		})
	}
}

// A look takes the connection that is there, and makes a new one only when that has died.
func TestChecksShareTheConnection(t *testing.T) {
	s := newSite(t, hosts.Options{})
	s.serve(t, 8080, false, func(http.ResponseWriter, *http.Request) {})
	logins := func() int { return strings.Count(s.shell("cat /run/host/sshd.log"), "Accepted publickey") }
	s.probe()
	s.Expect(logins()).To(Equal(1))
	ask, command := v1alpha1.HealthCheck{HTTP: &v1alpha1.HTTPCheck{Port: 8080}}, v1alpha1.HealthCheck{Command: []string{"true"}}
	for range 30 { // more than the sessions that sshd allows at once
		s.Expect(s.check(ask).Well).To(BeTrue())
		s.Expect(s.check(command).Well).To(BeTrue())
	}
	s.Expect(logins()).To(Equal(1))

	s.Expect(s.host.Kill()).To(Succeed())
	deploy := s.deploy
	deploy.HealthCheck = &ask
	_, err := s.newPool(t, delivery.Options{Connect: time.Second}).Check(t.Context(), s.reach, deploy, nil)
	s.Expect(err).To(HaveField("Reason", v1alpha1.ReasonUnreachable), "of a host that is off nothing is known")
	s.Expect(s.host.Boot(t.Context())).To(Succeed())
	s.serve(t, 8080, false, func(http.ResponseWriter, *http.Request) {})
	s.Expect(s.check(ask).Well).To(BeTrue(), "the kept connection died with the host")
}
