// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package instances

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

//go:embed image.sh
var imageScript string

// Packages of Debian's that an instance has beyond a minimal Debian.
const Packages = "systemd-sysv,dbus,cloud-init,openssh-server,rsync,nginx-light,php-fpm,sudo,iproute2,procps,curl,ca-certificates"

// Site is what nginx serves on port 80 of an instance; its parent belongs to user deploy. UID is that user's.
const (
	Site = "/var/www/site/current"
	UID  = 3001
)

// Image is what the disk of an instance begins with.
type Image struct {
	// layers are directories, the uppermost first.
	layers []string
}

// Debian is a minimal Debian with cloud-init, sshd, nginx (which serves Site), php-fpm (which nobody starts) and a user deploy. It is
// made once, in about 90 seconds, and kept in the user's cache folder.
func Debian(ctx context.Context) (*Image, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return nil, err
	}
	suite := os.Getenv("SLIPWAY_DEBIAN_SUITE")
	if suite == "" {
		suite = "bookworm"
	}
	sum := sha256.Sum256([]byte(suite + "\n" + Packages + "\n" + imageScript))
	dir := filepath.Join(cache, "slipway", "instances", hex.EncodeToString(sum[:8]))
	image := &Image{layers: []string{filepath.Join(dir, "root")}}
	if _, err := os.Stat(image.layers[0]); err == nil {
		return image, nil
	}
	return image, makeDebian(ctx, dir, suite)
}

// makeDebian makes dir/root. Whoever comes second waits for the first.
func makeDebian(ctx context.Context, dir, suite string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	lock, err := os.Create(filepath.Join(dir, "lock"))
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return err
	}
	root, staging, script := filepath.Join(dir, "root"), filepath.Join(dir, "staging"), filepath.Join(dir, "image.sh")
	if _, err := os.Stat(root); err == nil {
		return nil
	}
	if err := errors.Join(os.RemoveAll(staging), os.WriteFile(script, []byte(imageScript), 0o755)); err != nil {
		return err
	}
	if _, err := exec.LookPath("mmdebstrap"); err != nil {
		return errors.New("an instance's image needs mmdebstrap: apt-get install mmdebstrap")
	}
	out, err := exec.CommandContext(ctx, "mmdebstrap", "--quiet", "--variant=minbase", "--include="+Packages,
		"--dpkgopt=path-exclude=/usr/share/doc/*", "--dpkgopt=path-exclude=/usr/share/man/*", "--dpkgopt=path-exclude=/usr/share/locale/*",
		"--customize-hook="+script, suite, staging).CombinedOutput()
	if err != nil {
		return fmt.Errorf("make an instance's image with mmdebstrap: %w: %s", err, lastLines(out, 15))
	}
	return os.Rename(staging, root)
}

// With is the image with files on top, by their path; dir keeps them. They belong to root and can be read by all.
func (i *Image) With(dir string, files map[string]string) (*Image, error) {
	for path, text := range files {
		file := filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return nil, err
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			return nil, err
		}
	}
	return &Image{layers: append([]string{dir}, i.layers...)}, os.MkdirAll(dir, 0o755)
}

// Find lists the paths in the image that match a pattern of path/filepath.
func (i *Image) Find(pattern string) (paths []string) {
	for _, layer := range i.layers {
		found, _ := filepath.Glob(filepath.Join(layer, pattern))
		for _, path := range found {
			paths = append(paths, strings.TrimPrefix(path, layer))
		}
	}
	return paths
}

// Bake makes an image of the instance's disk as it is now, kept in dir, which must not exist. A running instance's is what a power
// cut would leave.
func (i *Instance) Bake(dir string) (*Image, error) {
	if _, err := os.Lstat(dir); !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("bake an image: %s is there already", dir)
	}
	if err := errors.Join(run("sync", "-f", i.disk()), run("cp", "-a", i.disk(), dir)); err != nil {
		return nil, err
	}
	return &Image{layers: append([]string{dir}, i.image.layers...)}, nil
}

// lowerdir is how overlayfs is told the layers.
func (i *Image) lowerdir() string { return strings.Join(i.layers, ":") }

func lastLines(text []byte, n int) string {
	lines := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
	return string(bytes.Join(lines[max(0, len(lines)-n):], []byte("\n")))
}
