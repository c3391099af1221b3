// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package gitsource

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"k8s.io/utils/clock"

	"github.com/slipway-dev/slipway/internal/depot"
)

// Options of the git commands.
type Options struct {
	// AllowFile allows file:// URLs: for demonstrations and tests.
	AllowFile bool
	// Timeout of one ls-remote. Default 30s.
	Timeout time.Duration
	// CABundle is a file of further certificate authorities for https. Default: the system's.
	CABundle string
	// Clock says how long a mirror has not been used. Default: the real one.
	Clock clock.PassiveClock
}

const (
	maxStdout = 32 << 20
	maxStderr = 16 << 10
)

// git runs git with a closed environment: no system or personal configuration, no hooks, no prompts, only the
// protocols that are allowed, and no credential in argv.
func (o Options) git(ctx context.Context, dir, remote string, c depot.GitCredentials, stdout io.Writer, args ...string) error {
	scratch, err := os.MkdirTemp("", "slipway-git-")
	if err != nil {
		return fmt.Errorf("make a scratch directory: %w", err)
	}
	defer func() { _ = os.RemoveAll(scratch) }()
	environment, err := o.environment(scratch, remote, c)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Dir, cmd.Env = dir, environment
	cmd.Env = append(cmd.Env, "GIT_CEILING_DIRECTORIES="+filepath.Dir(dir)) // never a repository around it
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	stderr := &tail{limit: maxStderr}
	cmd.Stdout, cmd.Stderr = stdout, stderr
	err = cmd.Run()
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%w: git %s took too long", ErrUnreachable, args[0])
	}
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return fmt.Errorf("run git: %w", err)
	}
	text := explain(stderr.String(), remote, c)
	if text == "" {
		text = redact(stderr.String(), c)
	}
	return &gitError{command: args[0], text: text}
}

// environment is all that git sees.
func (o Options) environment(scratch, remote string, c depot.GitCredentials) ([]string, error) {
	protocols := "https:ssh"
	if o.AllowFile {
		protocols += ":file"
	}
	env := []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + scratch, "LC_ALL=C", "GIT_TERMINAL_PROMPT=0", "GIT_CONFIG_NOSYSTEM=1",
		"GIT_CONFIG_GLOBAL=/dev/null", "GIT_ALLOW_PROTOCOL=" + protocols, "GIT_ASKPASS=/bin/false", "SSH_ASKPASS=/bin/false",
		"GIT_LFS_SKIP_SMUDGE=1", "GIT_HTTP_LOW_SPEED_LIMIT=1000", "GIT_HTTP_LOW_SPEED_TIME=60",
	}
	settings := [][2]string{
		{"core.hooksPath", "/dev/null"}, {"credential.helper", ""}, {"http.followRedirects", "false"}, {"gc.auto", "0"},
		{"safe.directory", "*"}, {"protocol.version", "2"}, {"transfer.fsckObjects", "false"}, {"fetch.recurseSubmodules", "false"},
	}
	if o.CABundle != "" {
		settings = append(settings, [2]string{"http.sslCAInfo", o.CABundle})
	}
	if c.Password != "" && strings.HasPrefix(remote, "https://") {
		origin, err := origin(remote)
		if err != nil {
			return nil, err
		}
		// Bound to the repository's own host: a redirect or another remote gets nothing.
		settings = append(settings, [2]string{"http." + origin + ".extraHeader", "Authorization: " + basic(c)})
	}
	if strings.HasPrefix(remote, "ssh://") {
		command, err := sshCommand(scratch, c)
		if err != nil {
			return nil, err
		}
		env = append(env, "GIT_SSH_COMMAND="+command, "GIT_SSH_VARIANT=ssh")
	}
	env = append(env, fmt.Sprintf("GIT_CONFIG_COUNT=%d", len(settings)))
	for i, s := range settings {
		env = append(env, fmt.Sprintf("GIT_CONFIG_KEY_%d=%s", i, s[0]), fmt.Sprintf("GIT_CONFIG_VALUE_%d=%s", i, s[1]))
	}
	return env, nil
}

// sshCommand is git's ssh with the repository's own key and known hosts, and nothing of the user's.
func sshCommand(scratch string, c depot.GitCredentials) (string, error) {
	known, key := filepath.Join(scratch, "known_hosts"), filepath.Join(scratch, "id")
	if err := os.WriteFile(known, c.KnownHosts, 0o600); err != nil {
		return "", fmt.Errorf("write known_hosts: %w", err)
	}
	// IdentitiesOnly alone would still leave the keys in the home directory of whoever runs this.
	command := "ssh -F /dev/null -o IdentitiesOnly=yes -o IdentityAgent=none -o BatchMode=yes -o ConnectTimeout=15" +
		" -o StrictHostKeyChecking=yes -o GlobalKnownHostsFile=/dev/null -o UserKnownHostsFile=" + known
	if len(c.PrivateKey) == 0 {
		return command + " -o IdentityFile=none", nil
	}
	if err := os.WriteFile(key, c.PrivateKey, 0o600); err != nil {
		return "", fmt.Errorf("write the key: %w", err)
	}
	return command + " -i " + key, nil
}

// origin is scheme and host of a URL.
func origin(raw string) (string, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return "", fmt.Errorf("%w: the URL cannot be read", ErrRefused)
	}
	return u.Scheme + "://" + u.Host + "/", nil
}

// gitError is git's own word for what went wrong, without secrets.
type gitError struct{ command, text string }

func (e *gitError) Error() string {
	if e.text == "" {
		return "git " + e.command + " failed"
	}
	return "git " + e.command + ": " + e.text
}

// userinfo is a user name and password in a URL.
var userinfo = regexp.MustCompile(`(https?://)[^/@\s]*@`)

// redact takes secrets out of git's messages and puts them on one line.
func redact(text string, c depot.GitCredentials) string {
	if c.Password != "" {
		text = strings.ReplaceAll(text, c.Password, "***")
		text = strings.ReplaceAll(text, basic(c), "***")
	}
	text = userinfo.ReplaceAllString(text, "$1***@")
	var lines []string
	for _, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(strings.Map(func(r rune) rune {
			if r < 0x20 || r == 0x7f {
				return -1
			}
			return r
		}, line))
		if line != "" {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines[max(0, len(lines)-4):], "; ")
}

// tail keeps the end of what is written to it.
type tail struct {
	limit int
	data  []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.data = append(t.data, p...)
	if over := len(t.data) - t.limit; over > 0 {
		t.data = t.data[over:]
	}
	return len(p), nil
}

func (t *tail) String() string { return string(t.data) }

// head keeps the beginning of what is written to it and refuses more.
type head struct {
	limit int
	bytes.Buffer
}

func (h *head) Write(p []byte) (int, error) {
	if h.Len()+len(p) > h.limit {
		return 0, fmt.Errorf("the answer is larger than %d bytes", h.limit)
	}
	return h.Buffer.Write(p)
}
