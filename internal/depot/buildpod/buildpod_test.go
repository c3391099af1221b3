// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package buildpod

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"github.com/spf13/cobra"
	"golang.org/x/crypto/ssh"
	"k8s.io/utils/clock"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/build"
	"github.com/slipway-dev/slipway/internal/depot"
	"github.com/slipway-dev/slipway/internal/depot/client"
	"github.com/slipway-dev/slipway/internal/depot/confine"
	"github.com/slipway-dev/slipway/internal/depot/server"
	"github.com/slipway-dev/slipway/internal/depot/store"
	"github.com/slipway-dev/slipway/internal/gitsource"
	"github.com/slipway-dev/slipway/internal/sshca"
)

// TestMain lets this program be rsync's remote shell and the confined rsync, as the real one is.
func TestMain(m *testing.M) {
	if where := os.Getenv(depotEnv); where != "" && len(os.Args) == 1 {
		fmt.Fprintln(os.Stderr, depotProcess(where))
		os.Exit(1)
	}
	if len(os.Args) > 1 && (os.Args[1] == "build" || os.Args[1] == "confined") {
		root := &cobra.Command{Use: "slipway", SilenceUsage: true}
		root.AddCommand(NewCommand(), confine.NewCommand())
		if root.Execute() != nil {
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

const key = "b1-0000"

// world is a real depot with a real repository behind it.
type world struct {
	t         *testing.T
	store     *store.Store
	authority *sshca.Authority
	endpoint  depot.Endpoint
	manager   *client.Client
	repo      string
	commit    string
	data      string
	metrics   *server.Metrics
	stop      func()
}

func newWorld(t *testing.T) *world {
	t.Helper()
	return newWorldWith(t, nil)
}

func newWorldWith(t *testing.T, metrics *server.Metrics) *world {
	t.Helper()
	g := NewWithT(t)
	w := &world{t: t, data: t.TempDir(), repo: t.TempDir(), metrics: metrics}
	var err error
	w.authority, err = sshca.New(clock.RealClock{})
	g.Expect(err).NotTo(HaveOccurred())
	w.store, err = store.Open(filepath.Join(w.data, "store"), clock.RealClock{})
	g.Expect(err).NotTo(HaveOccurred())
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	g.Expect(err).NotTo(HaveOccurred())
	address := listener.Addr().(*net.TCPAddr)
	keys, authorities, err := server.HostKey(filepath.Join(w.data, "keys"), []string{address.IP.String()}, clock.RealClock{})
	g.Expect(err).NotTo(HaveOccurred())
	w.endpoint = depot.Endpoint{Host: address.IP.String(), Port: address.Port, HostCAs: authorities}
	w.serve(listener, keys)
	w.manager = client.New(func() (depot.Endpoint, error) { return w.endpoint, nil }, w.authority)
	t.Cleanup(func() { _ = w.manager.Close() })
	w.commitFiles(map[string]string{"index.php": "<?php echo 1;", "lib/a.php": "<?php", "README": "x"})
	return w
}

// serve runs the depot until w.stop or the end of the test.
func (w *world) serve(listener net.Listener, keys []ssh.Signer) {
	w.t.Helper()
	self, err := os.Executable()
	NewWithT(w.t).Expect(err).NotTo(HaveOccurred())
	s := server.New(server.Options{
		Store: w.store, Sources: gitsource.NewMirrors(filepath.Join(w.data, "mirrors"), gitsource.Options{AllowFile: true}),
		HostKeys: keys, Clock: clock.RealClock{}, Logger: slog.New(slog.DiscardHandler), Confine: confine.Wrap(self), Metrics: w.metrics,
		UserAuthorities: func() []ssh.PublicKey {
			var out []ssh.PublicKey
			for _, line := range w.authority.PublicKeys() {
				key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(line))
				if err == nil {
					out = append(out, key)
				}
			}
			return out
		},
	})
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, listener) }()
	var once sync.Once
	w.stop = func() {
		once.Do(func() {
			cancel()
			NewWithT(w.t).Expect(<-served).To(Succeed())
		})
	}
	w.t.Cleanup(w.stop)
}

// commitFiles commits files to the repository.
func (w *world) commitFiles(files map[string]string) {
	w.t.Helper()
	g := NewWithT(w.t)
	for name, content := range files {
		g.Expect(os.MkdirAll(filepath.Dir(filepath.Join(w.repo, name)), 0o755)).To(Succeed())
		g.Expect(os.WriteFile(filepath.Join(w.repo, name), []byte(content), 0o644)).To(Succeed())
	}
	cmd := exec.CommandContext(w.t.Context(), "sh", "-c",
		"git init -q -b main 2>/dev/null; git add -A && git -c user.email=t@example.com -c user.name=t commit -qm x && git rev-parse HEAD")
	cmd.Dir = w.repo
	out, err := cmd.Output()
	g.Expect(err).NotTo(HaveOccurred())
	w.commit = strings.TrimSpace(string(out))
}

// grant is a build's grant, with its mirror made present.
func (w *world) grant(change func(*depot.BuildGrant)) depot.BuildGrant {
	w.t.Helper()
	g := depot.BuildGrant{Service: "svc", BuildKey: key, Attempt: 1, Mirror: "file://" + w.repo, Commit: w.commit}
	if change != nil {
		change(&g)
	}
	NewWithT(w.t).Expect(w.manager.Mirror(w.t.Context(), depot.MirrorRequest{Service: g.Service, URL: g.Mirror, Commit: g.Commit})).To(Succeed())
	return g
}

// pod is what the kubelet mounts into fetch and publish.
func (w *world) pod(grant depot.BuildGrant) Options {
	w.t.Helper()
	g := NewWithT(w.t)
	privateKey, certificate, err := w.authority.Build(grant, time.Hour)
	g.Expect(err).NotTo(HaveOccurred())
	dir := w.t.TempDir()
	for name, data := range build.CredentialSecret(build.Input{}, privateKey, certificate, w.endpoint).Data {
		g.Expect(os.WriteFile(filepath.Join(dir, name), data, 0o600)).To(Succeed())
	}
	self, err := os.Executable()
	g.Expect(err).NotTo(HaveOccurred())
	return Options{Dir: w.t.TempDir(), Credential: dir, Output: ".", Exclude: []string{".git/"}, Self: self, Log: io.Discard, Cache: grant.Cache}
}

// publish runs a whole build Pod with script in the middle.
func (w *world) publish(grant depot.BuildGrant, script string) (depot.Artifact, error) {
	w.t.Helper()
	g := NewWithT(w.t)
	o := w.pod(grant)
	g.Expect(Fetch(w.t.Context(), o)).To(Succeed())
	cmd := exec.CommandContext(w.t.Context(), "sh", "-eu", "-c", script)
	cmd.Dir = o.Dir
	out, err := cmd.CombinedOutput()
	g.Expect(err).NotTo(HaveOccurred(), string(out))
	return Publish(w.t.Context(), o)
}

func TestABuildGoesFromCommitToArtifactAndAHostPullsIt(t *testing.T) {
	g := NewWithT(t)
	w := newWorld(t)
	a, err := w.publish(w.grant(func(b *depot.BuildGrant) { b.Shared = []string{"lib/shared"} }),
		"umask 077; mkdir -p out lib/shared; echo secret > lib/shared/x; echo built > out/page.html; chmod 0700 . out; ln -s ../index.php out/link")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(a.Files).To(BeEquivalentTo(4), "the shared path is not part of the artifact")
	found, err := w.manager.FindBuild(t.Context(), "svc", key)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(found.Digest).To(Equal(a.Digest))

	into := w.pull(a.Digest, a.Digest)
	page, err := os.ReadFile(filepath.Join(into, "out/page.html"))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(string(page)).To(Equal("built\n"))
	info, err := os.Stat(filepath.Join(into, "out"))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(info.Mode().Perm()).To(Equal(os.FileMode(0o755)))
}

// pull fetches with the real ssh and rsync, as a host does.
func (w *world) pull(granted, digest string) string {
	w.t.Helper()
	into := w.t.TempDir()
	out, err := w.ssh(w.pullCredential(granted), "rsync", "-rlpt", "--delete", "--timeout=20", "-e", "", "slipway@"+w.endpoint.Host+":tree/", into+"/")
	NewWithT(w.t).Expect(err).NotTo(HaveOccurred(), out)
	manifest, err := w.ssh(w.pullCredential(granted), "ssh", "", "slipway@"+w.endpoint.Host, "manifest "+digest)
	NewWithT(w.t).Expect(err).NotTo(HaveOccurred(), manifest)
	NewWithT(w.t).Expect(manifest).To(HavePrefix("slipway-manifest 1\n"))
	return into
}

type credential struct{ dir string }

func (w *world) pullCredential(digest string) credential {
	w.t.Helper()
	privateKey, certificate, err := w.authority.Pull("svc", digest, time.Minute)
	NewWithT(w.t).Expect(err).NotTo(HaveOccurred())
	return w.credential(privateKey, certificate)
}

func (w *world) credential(privateKey, certificate []byte) credential {
	w.t.Helper()
	g, dir := NewWithT(w.t), w.t.TempDir()
	g.Expect(os.WriteFile(filepath.Join(dir, "id"), privateKey, 0o600)).To(Succeed())
	g.Expect(os.WriteFile(filepath.Join(dir, "id-cert.pub"), certificate, 0o600)).To(Succeed())
	known := fmt.Sprintf("@cert-authority [%s]:%d %s\n", w.endpoint.Host, w.endpoint.Port, w.endpoint.HostCAs[0])
	g.Expect(os.WriteFile(filepath.Join(dir, "known_hosts"), []byte(known), 0o600)).To(Succeed())
	return credential{dir}
}

// ssh runs the real ssh, or rsync over it: an empty argument stands for ssh's options.
func (w *world) ssh(c credential, program string, args ...string) (string, error) {
	options := []string{"-F", "/dev/null", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes", "-o", "UserKnownHostsFile=" + c.dir + "/known_hosts",
		"-o", "GlobalKnownHostsFile=/dev/null", "-o", "IdentitiesOnly=yes", "-i", c.dir + "/id", "-p", fmt.Sprint(w.endpoint.Port)}
	var argv []string
	for _, arg := range args {
		switch {
		case arg == "" && program == "rsync":
			argv = append(argv, "ssh "+strings.Join(options, " "))
		case arg == "":
			argv = append(argv, options...)
		default:
			argv = append(argv, arg)
		}
	}
	cmd := exec.CommandContext(w.t.Context(), program, argv...)
	cmd.Stdin = strings.NewReader("")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func TestAnythingElseIsRefusedWithASentence(t *testing.T) {
	w := newWorld(t)
	a, err := w.publish(w.grant(nil), "echo 1 > one")
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	b, err := w.publish(w.grant(func(b *depot.BuildGrant) { b.BuildKey = "b1-0001" }), "echo 2 > two")
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	host := "slipway@" + w.endpoint.Host
	for name, test := range map[string]struct {
		args []string
		says string
	}{
		"a shell":                  {[]string{"", host}, "no shell here"},
		"another command":          {[]string{"", host, "cat /etc/passwd"}, "does not allow the command"},
		"the manager's calls":      {[]string{"", host, "rpc"}, "does not allow the command"},
		"another artifact":         {[]string{"", host, "manifest " + b.Digest}, "another artifact"},
		"to write":                 {[]string{"", host, "rsync --server -ltpre.iLsfxCIvu . tree/"}, "only reads"},
		"another path":             {[]string{"", host, "rsync --server --sender -ltpre.iLsfxCIvu . ../"}, "the only path here is tree/"},
		"an absolute path":         {[]string{"", host, "rsync --server --sender -ltpre.iLsfxCIvu . /etc/"}, "the only path here is tree/"},
		"two paths":                {[]string{"", host, "rsync --server --sender -ltpre.iLsfxCIvu . tree/ /etc/"}, "the only path here is tree/"},
		"hidden arguments":         {[]string{"", host, "rsync --server --sender -ltprse.iLsfxCIvu . tree/"}, "is not allowed here"},
		"an option that runs code": {[]string{"", host, "rsync --server --sender -ltpr --rsh=x . tree/"}, "is not allowed here"},
		"to follow links":          {[]string{"", host, "rsync --server --sender -LtprLe.iLsfxCIvu . tree/"}, "is not allowed here"},
		"a subsystem":              {[]string{"", "-s", host, "sftp"}, "no shell here"},
		"to forward a port":        {[]string{"", "-W", "127.0.0.1:22", host}, "forwards nothing"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			out, err := w.ssh(w.pullCredential(a.Digest), "ssh", test.args...)
			g.Expect(err).To(HaveOccurred())
			g.Expect(out).To(ContainSubstring(test.says))
		})
	}
}

func TestALoginNeedsACertificateOfTheAuthority(t *testing.T) {
	w := newWorld(t)
	a, err := w.publish(w.grant(nil), "echo 1 > one")
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	stranger, err := sshca.New(clock.RealClock{})
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	for name, mint := range map[string]func() ([]byte, []byte, error){
		"another authority": func() ([]byte, []byte, error) { return stranger.Pull("svc", a.Digest, time.Minute) },
		"expired":           func() ([]byte, []byte, error) { return w.authority.Pull("svc", a.Digest, -time.Minute) },
		"no certificate": func() ([]byte, []byte, error) {
			privateKey, _, err := w.authority.Pull("svc", a.Digest, time.Minute)
			return privateKey, nil, err
		},
	} {
		t.Run(name, func(t *testing.T) {
			privateKey, certificate, err := mint()
			NewWithT(t).Expect(err).NotTo(HaveOccurred())
			out, err := w.ssh(w.credential(privateKey, certificate), "ssh", "", "slipway@"+w.endpoint.Host, "manifest "+a.Digest)
			NewWithT(t).Expect(err).To(HaveOccurred())
			NewWithT(t).Expect(out).To(ContainSubstring("Permission denied"))
		})
	}
}

func TestWhatABuildMayNotPublish(t *testing.T) {
	for name, test := range map[string]struct {
		script string
		change func(*Options)
		reason string
		says   string
	}{
		"nothing":                    {"rm -rf ..?* .[!.]* *", nil, v1alpha1.ReasonArtifactRefused, "no file"},
		"no output directory":        {":", func(o *Options) { o.Output = "dist" }, v1alpha1.ReasonArtifactRefused, `left nothing at build.output.path "dist"`},
		"an output that leads out":   {"ln -s /etc dist", func(o *Options) { o.Output = "dist" }, v1alpha1.ReasonArtifactRefused, "leads out of the source"},
		"an output that is a file":   {"echo x > dist", func(o *Options) { o.Output = "dist" }, v1alpha1.ReasonArtifactRefused, "is no directory"},
		"a link out of the tree":     {"ln -s ../../etc/passwd evil", nil, v1alpha1.ReasonArtifactRefused, `"evil" leads out of the tree`},
		"a set-user-id program":      {"cp /bin/true evil; chmod 4755 evil", nil, v1alpha1.ReasonArtifactRefused, "set-user-id"},
		"a name with a newline":      {"touch \"$(printf 'a\\nb')\"", nil, v1alpha1.ReasonArtifactRefused, "control character"},
		"less than half of the last": {"for i in 1 2 3 4 5 6 7; do rm -f f$i; done; rm README index.php", nil, v1alpha1.ReasonArtifactShrunk, "less than half"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			w := newWorld(t)
			w.commitFiles(map[string]string{"f1": "", "f2": "", "f3": "", "f4": "", "f5": "", "f6": "", "f7": ""})
			first, err := w.publish(w.grant(nil), ":")
			g.Expect(err).NotTo(HaveOccurred())
			grant := w.grant(func(b *depot.BuildGrant) { b.BuildKey, b.Previous = "b1-0002", first.Digest })
			o := w.pod(grant)
			g.Expect(Fetch(t.Context(), o)).To(Succeed())
			cmd := exec.CommandContext(t.Context(), "sh", "-c", test.script)
			cmd.Dir = o.Dir
			g.Expect(cmd.Run()).To(Succeed())
			if test.change != nil {
				test.change(&o)
			}
			_, err = Publish(t.Context(), o)
			var p *Problem
			g.Expect(errors.As(err, &p)).To(BeTrue(), "%v", err)
			g.Expect(p.Reason).To(Equal(test.reason))
			g.Expect(p.Message).To(ContainSubstring(test.says))
			_, err = w.manager.FindBuild(t.Context(), "svc", "b1-0002")
			g.Expect(err).To(MatchError(depot.ErrNotFound))
		})
	}
}

func TestASecondBuildOfAKeyReturnsTheFirst(t *testing.T) {
	g := NewWithT(t)
	w := newWorld(t)
	first, err := w.publish(w.grant(nil), "echo 1 > stamp")
	g.Expect(err).NotTo(HaveOccurred())
	o := w.pod(w.grant(func(b *depot.BuildGrant) { b.Attempt = 2 }))
	g.Expect(Fetch(t.Context(), o)).To(Succeed())
	_, err = Publish(t.Context(), o)
	g.Expect(err).To(MatchError(ContainSubstring("published already")))
	found, err := w.manager.FindBuild(t.Context(), "svc", key)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(found).To(Equal(first))
}

// TestABuildOutlivesARestartOfTheDepot stops the depot before the fetch and before the publication.
func TestABuildOutlivesARestartOfTheDepot(t *testing.T) {
	g := NewWithT(t)
	w := newWorld(t)
	o := w.pod(w.grant(nil))
	whileDown := func(work func() error) {
		w.stop()
		done := make(chan error, 1)
		said := &sayings{}
		o.Log = said
		go func() { done <- work() }()
		g.Eventually(said.heard, 20*time.Second).Should(BeTrue(), "it says that it tries again")
		g.Expect(done).NotTo(Receive())
		listener, err := net.Listen("tcp", fmt.Sprintf("%s:%d", w.endpoint.Host, w.endpoint.Port))
		g.Expect(err).NotTo(HaveOccurred())
		keys, _, err := server.HostKey(filepath.Join(w.data, "keys"), []string{w.endpoint.Host}, clock.RealClock{})
		g.Expect(err).NotTo(HaveOccurred())
		w.serve(listener, keys)
		g.Eventually(done, 30*time.Second).Should(Receive(Succeed()))
	}
	whileDown(func() error { return Fetch(context.Background(), o) })
	whileDown(func() error {
		_, err := Publish(context.Background(), o)
		return err
	})
	_, err := w.manager.FindBuild(t.Context(), "svc", key)
	g.Expect(err).NotTo(HaveOccurred())
}

// sayings is a log that says whether anything was written.
type sayings struct {
	mu    sync.Mutex
	wrote bool
}

func (s *sayings) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wrote = s.wrote || bytes.Contains(p, []byte("trying again"))
	return len(p), nil
}

func (s *sayings) heard() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.wrote
}

func TestCachesComeBackToTheNextBuild(t *testing.T) {
	g := NewWithT(t)
	w := newWorld(t)
	cached := func(b *depot.BuildGrant) { b.Cache = []string{"vendor", "node_modules"} }
	_, err := w.publish(w.grant(cached), "mkdir -p vendor/bin; echo dep > vendor/dep; ln -s ../dep vendor/bin/dep")
	g.Expect(err).NotTo(HaveOccurred())
	o := w.pod(w.grant(func(b *depot.BuildGrant) { cached(b); b.BuildKey = "b1-0009" }))
	g.Expect(Fetch(t.Context(), o)).To(Succeed())
	data, err := os.ReadFile(filepath.Join(o.Dir, "vendor/bin/dep"))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(string(data)).To(Equal("dep\n"))
}

func TestTheManagersCalls(t *testing.T) {
	g := NewWithT(t)
	w := newWorld(t)
	ctx := t.Context()
	_, err := w.manager.FindBuild(ctx, "svc", "b1-none")
	g.Expect(err).To(MatchError(depot.ErrNotFound))
	_, err = w.manager.FindBuild(ctx, "../svc", "b1-none")
	g.Expect(err).To(MatchError(depot.ErrRefused))
	g.Expect(w.manager.Mirror(ctx, depot.MirrorRequest{Service: "svc", URL: "ext::sh -c true", Commit: w.commit})).To(MatchError(depot.ErrRefused))

	long := strings.Repeat("line of a build\n", 1<<20)
	g.Expect(w.manager.WriteLog(ctx, "svc", "build-1", strings.NewReader("first\n"+long+"last\n"))).To(Succeed())
	var log bytes.Buffer
	g.Expect(w.manager.ReadLog(ctx, "svc", "build-1", &log)).To(Succeed())
	g.Expect(log.String()).To(And(HavePrefix("first\n"), HaveSuffix("last\n"), ContainSubstring("bytes of the log were left out")))
	g.Expect(log.Len()).To(BeNumerically("<", 7<<20))
	g.Expect(w.manager.ReadLog(ctx, "svc", "build-2", io.Discard)).To(MatchError(depot.ErrNotFound))
	g.Expect(w.manager.WriteLog(ctx, "svc", "silent", strings.NewReader(""))).To(Succeed())
	g.Expect(w.manager.ReadLog(ctx, "svc", "silent", io.Discard)).To(Succeed())

	pointer := depot.Pointer{Service: "svc", Storage: "svc", Current: v1alpha1.ReleaseRecord{Release: "r", Digest: "sha256:x"}}
	g.Expect(w.manager.SetPointer(ctx, pointer)).To(Succeed())
	got, err := w.manager.GetPointer(ctx, "svc")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(got).To(Equal(pointer))

	word := depot.Word{Service: "svc", Storage: "svc", Namespace: "web", Name: "blog", Hosts: []depot.HostWord{{ID: "web-1", Digest: "b", Fence: 5}}}
	g.Expect(w.manager.SetWord(ctx, word)).To(Succeed())
	g.Expect(w.store.Words()).To(ConsistOf(word))
	g.Expect(w.manager.DropWord(ctx, "svc")).To(Succeed())
	g.Expect(w.store.Words()).To(BeEmpty())

	a, err := w.publish(w.grant(nil), ":")
	g.Expect(err).NotTo(HaveOccurred())
	removed, err := w.manager.Retain(ctx, depot.References{Service: "svc", Digests: []string{a.Digest}})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(removed).To(BeEmpty(), "what is referenced stays")
	removed, err = w.manager.Retain(ctx, depot.References{Service: "svc"})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(removed).To(ConsistOf(a.Digest))
	_, err = w.manager.FindBuild(ctx, "svc", key)
	g.Expect(err).To(MatchError(depot.ErrNotFound), "a key never names what is not there")
}

func TestFiftyHostsPullAtOnce(t *testing.T) {
	g := NewWithT(t)
	w := newWorld(t)
	a, err := w.publish(w.grant(nil), ":")
	g.Expect(err).NotTo(HaveOccurred())
	failed := make(chan string, 50)
	for range 50 {
		c, into := w.pullCredential(a.Digest), t.TempDir()
		go func() {
			out, err := w.ssh(c, "rsync", "-rlpt", "-e", "", "slipway@"+w.endpoint.Host+":tree/", into+"/")
			if err != nil {
				failed <- out
				return
			}
			failed <- ""
		}()
	}
	for range 50 {
		g.Expect(<-failed).To(BeEmpty())
	}
}

func TestTheTerminationMessageSaysWhatWentWrong(t *testing.T) {
	g := NewWithT(t)
	path := filepath.Join(t.TempDir(), "message")
	g.Expect(report(path, v1alpha1.ReasonFetchFailed, nil, problem(v1alpha1.ReasonArtifactShrunk, "too small"))).NotTo(Succeed())
	var p build.Problem
	data, err := os.ReadFile(path)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(json.Unmarshal(data, &p)).To(Succeed())
	g.Expect(p).To(Equal(build.Problem{Reason: v1alpha1.ReasonArtifactShrunk, Message: "too small"}))
}
