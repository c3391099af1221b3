// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package buildpod

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/build"
	"github.com/slipway-dev/slipway/internal/depot"
)

// Problem is an error with one of a Release's documented reasons.
type Problem struct{ build.Problem }

func (p *Problem) Error() string { return p.Message }

func problem(reason, format string, args ...any) error {
	return &Problem{build.Problem{Reason: reason, Message: fmt.Sprintf(format, args...)}}
}

// Publish sends the build's output to the depot and has it made an artifact; then it keeps the caches.
func Publish(ctx context.Context, o Options) (depot.Artifact, error) {
	output, err := outputDir(o)
	if err != nil {
		return depot.Artifact{}, err
	}
	if err := patiently(ctx, o.Log, func() error { return send(ctx, o, output) }); err != nil {
		return depot.Artifact{}, err
	}
	var out bytes.Buffer
	err = patiently(ctx, o.Log, func() error { // an answer that was lost is given again
		return with(ctx, o.Credential, func(conn *ssh.Client) error {
			out.Reset()
			return run(ctx, conn, "finish", nil, &out)
		})
	})
	if err != nil {
		return depot.Artifact{}, problem(v1alpha1.ReasonPublishFailed, "publish the artifact: %v", err)
	}
	var finished struct {
		Artifact *depot.Artifact
		Reason   string
		Message  string
	}
	if err := json.Unmarshal(out.Bytes(), &finished); err != nil {
		return depot.Artifact{}, problem(v1alpha1.ReasonPublishFailed, "the depot's answer cannot be read: %v", err)
	}
	if finished.Artifact == nil {
		return depot.Artifact{}, problem(finished.Reason, "%s", finished.Message)
	}
	_, _ = fmt.Fprintf(o.Log, "published %s: %d files, %d bytes\n", finished.Artifact.Digest, finished.Artifact.Files, finished.Artifact.Bytes)
	err = with(ctx, o.Credential, func(conn *ssh.Client) error {
		keepCaches(ctx, conn, o)
		return nil
	})
	if err != nil {
		_, _ = fmt.Fprintf(o.Log, "the caches were not kept: %v\n", err)
	}
	return *finished.Artifact, nil
}

// outputDir is the directory that becomes the artifact: below the source's root, also when links are followed, so that a
// build cannot publish what is mounted beside it.
func outputDir(o Options) (string, error) {
	root, err := filepath.EvalSymlinks(o.Dir)
	if err != nil {
		return "", fmt.Errorf("find the source's root: %w", err)
	}
	output, err := filepath.EvalSymlinks(filepath.Join(root, filepath.FromSlash(o.Output)))
	switch {
	case errors.Is(err, os.ErrNotExist):
		return "", problem(v1alpha1.ReasonArtifactRefused, "the build left nothing at build.output.path %q", o.Output)
	case err != nil:
		return "", problem(v1alpha1.ReasonArtifactRefused, "build.output.path %q cannot be read: %v", o.Output, err)
	case output != root && !strings.HasPrefix(output, root+string(filepath.Separator)):
		return "", problem(v1alpha1.ReasonArtifactRefused, "build.output.path %q leads out of the source", o.Output)
	}
	if info, err := os.Stat(output); err != nil || !info.IsDir() {
		return "", problem(v1alpha1.ReasonArtifactRefused, "build.output.path %q is no directory", o.Output)
	}
	return output, nil
}

// send brings the output into the build's staging directory with rsync. Excludes are single arguments that can neither
// clear nor precede another rule. Modes and times are set by the depot, so a build's umask does not matter. What an excluded
// name stands for at the depot goes too: it is half a file that a broken transfer left.
func send(ctx context.Context, o Options, output string) error {
	argv := []string{"-rlpt", "--delete-excluded", "--timeout=300", "--chmod=u+rwX", "-e", o.Self + " build rsh --credential=" + o.Credential}
	for _, pattern := range o.Exclude {
		argv = append(argv, "--filter=- "+pattern)
	}
	argv = append(argv, "--", "./", "depot:tree/")
	cmd := exec.CommandContext(ctx, "rsync", argv...)
	cmd.Dir, cmd.Env = output, []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "HOME=/nonexistent"}
	// rsync and the remote shell that it starts end together.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	said, err := cmd.CombinedOutput()
	if err != nil {
		text := strings.TrimSpace(string(said))
		if _, full, found := strings.Cut(text, depot.Says+v1alpha1.ReasonDiskFull+": "); found {
			full, _, _ = strings.Cut(full, "\n")
			return problem(v1alpha1.ReasonDiskFull, "%s", full)
		}
		if !strings.Contains(text, depot.Says) && connectionLost(err) {
			return fmt.Errorf("%w: send the artifact: %w: %s", depot.ErrUnavailable, err, text[max(0, len(text)-300):])
		}
		return problem(v1alpha1.ReasonPublishFailed, "send the artifact to the depot: %v: %s", err, text[max(0, len(text)-1000):])
	}
	return nil
}

// connectionLost says of rsync's exit code (rsync(1), EXIT VALUES) whether the connection was the trouble: it could not be
// made, the other end went away, or it timed out.
func connectionLost(err error) bool {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return false
	}
	switch exit.ExitCode() {
	case 1, 5, 10, 12, 30, 35, 255: // 1 and 255 are the remote shell's own
		return true
	}
	return false
}

// keepCaches saves the cached directories. What cannot be kept makes the next build slower, not this one wrong.
func keepCaches(ctx context.Context, conn *ssh.Client, o Options) {
	for i, name := range o.Cache {
		dir := filepath.Join(o.Dir, filepath.FromSlash(name))
		if info, err := os.Lstat(dir); err != nil || !info.IsDir() {
			continue
		}
		reader, writer := io.Pipe()
		go func() { _ = writer.CloseWithError(pack(dir, writer)) }()
		err := run(ctx, conn, fmt.Sprintf("cache-put %d", i), reader, io.Discard)
		_ = reader.Close()
		if err != nil {
			_, _ = fmt.Fprintf(o.Log, "the cache of %s was not kept: %v\n", name, err)
		}
	}
}

// pack writes a directory as a tar stream: files, directories, links.
func pack(dir string, w io.Writer) error {
	archive := tar.NewWriter(w)
	err := filepath.Walk(dir, func(full string, info os.FileInfo, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, full)
		if err != nil || rel == "." {
			return err
		}
		target := ""
		switch {
		case info.Mode()&os.ModeSymlink != 0:
			if target, err = os.Readlink(full); err != nil {
				return err
			}
		case !info.Mode().IsRegular() && !info.IsDir():
			return nil
		}
		header, err := tar.FileInfoHeader(info, target)
		if err != nil {
			return err
		}
		header.Name, header.Uname, header.Gname = filepath.ToSlash(rel), "", ""
		if err := archive.WriteHeader(header); err != nil || !info.Mode().IsRegular() {
			return err
		}
		f, err := os.Open(full)
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }()
		_, err = io.Copy(archive, f)
		return err
	})
	return errors.Join(err, archive.Close())
}
