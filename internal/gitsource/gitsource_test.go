// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package gitsource

import (
	"archive/tar"
	"bytes"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/slipway-dev/slipway/internal/depot"
)

// repository makes a git repository in dir with a branch, a lightweight and an annotated tag, and returns the ids.
func repository(t *testing.T, dir string) (first, second string) {
	t.Helper()
	script := `set -e
git init -q -b main . && git config user.email t@example.com && git config user.name t
printf 'one' > index.php; mkdir -p app; printf 'app' > app/a.txt; printf 'secret.txt export-ignore\n' > .gitattributes; printf s > secret.txt
git add -A && git commit -qm one && git tag light && git tag -a v1.0.0 -m v1
printf 'two' > index.php && git commit -qam two && git branch same && git tag -a same -m same HEAD~1`
	cmd := exec.CommandContext(t.Context(), "sh", "-c", script)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1")
	out, err := cmd.CombinedOutput()
	NewWithT(t).Expect(err).NotTo(HaveOccurred(), string(out))
	return output(t, dir, "rev-parse", "HEAD~1"), output(t, dir, "rev-parse", "HEAD")
}

func output(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "git", args...)
	cmd.Dir = dir
	out, err := cmd.Output()
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	return strings.TrimSpace(string(out))
}

func TestResolve(t *testing.T) {
	dir := t.TempDir()
	first, second := repository(t, dir)
	r := NewResolver(Options{AllowFile: true})
	for name, test := range map[string]struct {
		revision string
		commit   string
		err      error
	}{
		"a branch":                         {"main", second, nil},
		"a lightweight tag":                {"light", first, nil},
		"an annotated tag is peeled":       {"v1.0.0", first, nil},
		"a tag wins over a branch":         {"same", first, nil},
		"a full commit":                    {second, second, nil},
		"an abbreviated commit":            {second[:10], "", ErrRevisionNotFound},
		"nothing of that name":             {"v9", "", ErrRevisionNotFound},
		"an option":                        {"--upload-pack=touch x", "", ErrRefused},
		"a range":                          {"main..same", "", ErrRefused},
		"a control character":              {"ma\x01in", "", ErrRefused},
		"shell characters are just a name": {"a;touch$IFS/tmp/x", "", ErrRevisionNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			got, err := r.Resolve(t.Context(), "file://"+dir, test.revision, depot.GitCredentials{})
			if test.err != nil {
				g.Expect(err).To(MatchError(test.err))
				return
			}
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(got.Commit).To(Equal(test.commit))
		})
	}
}

func TestHostileURLsAreRefusedBeforeGitRuns(t *testing.T) {
	for name, url := range map[string]string{
		"helper protocol":  "ext::sh -c touch% /tmp/pwned",
		"an option":        "--upload-pack=touch /tmp/pwned",
		"a host option":    "ssh://-oProxyCommand=touch/x",
		"a user option":    "ssh://-oProxyCommand=x@host/x",
		"plain http":       "http://example.com/x.git",
		"git protocol":     "git://example.com/x.git",
		"a password":       "https://me:secret@example.com/x.git",
		"a user in https":  "https://token@example.com/x.git",
		"a newline":        "https://example.com/x\n.git",
		"a local path":     "/srv/git/x.git",
		"scp-like":         "git@example.com:x.git",
		"file not allowed": "file:///srv/git/x.git",
		"no host":          "https:///x.git",
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			_, err := NewResolver(Options{}).Resolve(t.Context(), url, "main", depot.GitCredentials{})
			g.Expect(err).To(MatchError(ErrRefused))
			g.Expect(err.Error()).NotTo(ContainSubstring("secret@"))
		})
	}
}

func TestMirrorFetchesOnceAndArchivesAllFiles(t *testing.T) {
	g := NewWithT(t)
	dir := t.TempDir()
	first, second := repository(t, dir)
	m := NewMirrors(t.TempDir(), Options{AllowFile: true})
	request := depot.MirrorRequest{Service: "svc", URL: "file://" + dir, Commit: first, Ref: "refs/tags/v1.0.0"}
	g.Expect(m.Fetch(t.Context(), request)).To(Succeed())
	g.Expect(files(t, m, dir, first, "")).To(HaveKeyWithValue("secret.txt", "s"), "export-ignore must not drop files")
	g.Expect(files(t, m, dir, first, "app")).To(Equal(map[string]string{"a.txt": "app"}))

	request.Commit, request.Ref = second, "refs/heads/main"
	g.Expect(m.Fetch(t.Context(), request)).To(Succeed())
	g.Expect(files(t, m, dir, second, ".")).To(HaveKeyWithValue("index.php", "two"))

	g.Expect(os.Rename(dir, dir+".gone")).To(Succeed())
	g.Expect(m.Fetch(t.Context(), request)).To(Succeed(), "what the mirror holds is not fetched again")
	request.Commit = strings.Repeat("0", 40)
	g.Expect(m.Fetch(t.Context(), request)).To(MatchError(ErrUnreachable))
	g.Expect(m.Archive(t.Context(), "svc", "file://"+dir, second, "no/such", io.Discard)).To(MatchError(ErrRevisionNotFound))
	g.Expect(m.Archive(t.Context(), "svc", "file://"+dir, second, "../x", io.Discard)).To(MatchError(ErrRefused))
	g.Expect(m.Archive(t.Context(), "other", "file://"+dir, second, "", io.Discard)).To(MatchError(ErrRevisionNotFound), "a mirror belongs to one Service")
}

func TestAMirrorRecoversFromAKilledFetch(t *testing.T) {
	g := NewWithT(t)
	dir := t.TempDir()
	_, second := repository(t, dir)
	m := NewMirrors(t.TempDir(), Options{AllowFile: true})
	request := depot.MirrorRequest{Service: "svc", URL: "file://" + dir, Commit: second, Ref: "refs/heads/main"}
	path := m.path("svc", request.URL)
	g.Expect(m.init(t.Context(), path)).To(Succeed())

	// Commit and tree are there, one file and every reference are not.
	output(t, path, "fetch", "--quiet", "--no-tags", dir, "main:refs/x")
	output(t, path, "update-ref", "-d", "refs/x")
	blob := output(t, dir, "rev-parse", "HEAD:index.php")
	g.Expect(os.Remove(filepath.Join(path, "objects", blob[:2], blob[2:]))).To(Succeed())
	left := []string{
		filepath.Join(path, "refs/slipway/remote/heads/main.lock"), filepath.Join(path, "refs/slipway/commits", second+".lock"),
		filepath.Join(path, "packed-refs.lock"), filepath.Join(path, "objects/pack/tmp_pack_x"),
	}
	for _, name := range left {
		g.Expect(os.MkdirAll(filepath.Dir(name), 0o700)).To(Succeed())
		g.Expect(os.WriteFile(name, nil, 0o600)).To(Succeed())
	}
	g.Expect(m.Archive(t.Context(), "svc", request.URL, second, "", io.Discard)).To(MatchError(ErrRevisionNotFound), "a half fetched commit is none")
	g.Expect(m.Fetch(t.Context(), request)).To(Succeed())
	g.Expect(files(t, m, dir, second, "")).To(HaveKeyWithValue("index.php", "two"))
	for _, name := range left {
		g.Expect(name).NotTo(BeAnExistingFile())
	}
}

func TestPathsOfTheSource(t *testing.T) {
	dir := t.TempDir()
	_, second := repository(t, dir)
	m := NewMirrors(t.TempDir(), Options{AllowFile: true})
	url := "file://" + dir
	NewWithT(t).Expect(m.Fetch(t.Context(), depot.MirrorRequest{Service: "svc", URL: url, Commit: second})).To(Succeed())
	for _, path := range []string{"app", "./app", "app/", "app/."} {
		NewWithT(t).Expect(files(t, m, dir, second, path)).To(HaveKey("a.txt"), path)
	}
	err := m.Archive(t.Context(), "svc", url, second, "index.php", io.Discard)
	NewWithT(t).Expect(err).To(MatchError(ContainSubstring("no directory \"index.php\"")))
}

// files reads an archive.
func files(t *testing.T, m *Mirrors, dir, commit, path string) map[string]string {
	t.Helper()
	g := NewWithT(t)
	var out bytes.Buffer
	g.Expect(m.Archive(t.Context(), "svc", "file://"+dir, commit, path, &out)).To(Succeed())
	found := map[string]string{}
	for r := tar.NewReader(&out); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return found
		}
		g.Expect(err).NotTo(HaveOccurred())
		if header.Typeflag == tar.TypeReg {
			data, err := io.ReadAll(r)
			g.Expect(err).NotTo(HaveOccurred())
			found[header.Name] = string(data)
		}
	}
}

func TestCredentialsGoToTheirHostAloneAndNowhereElse(t *testing.T) {
	g := NewWithT(t)
	dir := t.TempDir()
	_, second := repository(t, dir)
	want := "Basic " + base64.StdEncoding.EncodeToString([]byte("ci:canary-secret"))
	backend, err := exec.CommandContext(t.Context(), "git", "--exec-path").Output()
	g.Expect(err).NotTo(HaveOccurred())
	handler := &cgi.Handler{
		Path: filepath.Join(strings.TrimSpace(string(backend)), "git-http-backend"),
		Env:  []string{"GIT_PROJECT_ROOT=" + dir, "GIT_HTTP_EXPORT_ALL=1", "GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*"},
	}
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != want {
			w.Header().Set("WWW-Authenticate", "Basic realm=x")
			http.Error(w, "who are you", http.StatusUnauthorized)
			return
		}
		r.Header.Del("Authorization")
		handler.ServeHTTP(w, r)
	}))
	defer server.Close()
	bundle := filepath.Join(t.TempDir(), "ca.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	g.Expect(os.WriteFile(bundle, block, 0o600)).To(Succeed())
	url := server.URL + "/.git"
	o := Options{CABundle: bundle}

	c := depot.GitCredentials{Username: "ci", Password: "canary-secret"}
	got, err := NewResolver(o).Resolve(t.Context(), url, "main", c)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(got.Commit).To(Equal(second))

	mirrors := t.TempDir()
	m := NewMirrors(mirrors, o)
	g.Expect(m.Fetch(t.Context(), depot.MirrorRequest{Service: "svc", URL: url, Commit: second, Ref: got.Ref, Credentials: c})).To(Succeed())
	found := exec.CommandContext(t.Context(), "grep", "-r", "-l", "-e", "canary-secret", "-e", strings.TrimPrefix(want, "Basic "), mirrors)
	out, _ := found.Output()
	g.Expect(string(out)).To(BeEmpty(), "the mirror must not keep the credential")

	_, err = NewResolver(o).Resolve(t.Context(), url, "main", depot.GitCredentials{Username: "ci", Password: "wrong-canary"})
	g.Expect(err).To(MatchError(ErrUnreachable))
	g.Expect(err.Error()).NotTo(ContainSubstring("wrong-canary"))
	g.Expect(err.Error()).To(ContainSubstring("does not accept username and password"))
	_, err = NewResolver(o).Resolve(t.Context(), url, "main", depot.GitCredentials{})
	g.Expect(err).To(MatchError(ContainSubstring("asks for a credential")))
}

func FuzzParseLsRemote(f *testing.F) {
	f.Add([]byte(strings.Repeat("a", 40) + "\trefs/heads/main\n"))
	f.Add([]byte("garbage"))
	f.Fuzz(func(t *testing.T, data []byte) {
		found, err := parseLsRemote(bytes.NewReader(data))
		if err != nil {
			return
		}
		for ref, id := range found {
			if !IsCommit(id) || hasControl(ref) {
				t.Fatalf("accepted %q %q", id, ref)
			}
		}
	})
}
