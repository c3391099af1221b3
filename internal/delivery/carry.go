// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"bytes"
	"embed"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/slipway-dev/slipway/api/v1alpha1"
)

// command is all that sshd ever hands to the login shell: one constant. It reads the script from stdin, whole, by the
// number of its lines, before it runs any of it; what follows on stdin are values, which the script reads as data.
const command = `exec sh -c 'IFS= read -r n || exit 90; s=; i=0; nl=$(printf "\n_"); nl=${nl%_}; ` +
	`while [ "$i" -lt "$n" ]; do IFS= read -r l || exit 91; s=$s$l$nl; i=$((i + 1)); done; eval "$s"'`

// Defaults, for orders that did not pass the API server.
const (
	defaultKeepReleases = 5
	defaultHookTimeout  = time.Minute
)

//go:embed script/*.sh
var scripts embed.FS

// script is the one script, put together from its parts.
var script = assemble("values", "state", "verify", "preflight", "pull", "hooks", "switch", "main")

func assemble(names ...string) string {
	var all strings.Builder
	for _, name := range names {
		text, err := scripts.ReadFile("script/" + name + ".sh")
		if err != nil {
			panic(err) // it is compiled in
		}
		all.Write(text)
	}
	return all.String()
}

// load frames the script and its values for the command's stdin. A value is framed by the number of its lines, so that nothing
// in it can end it. NUL can't be framed, for no shell can hold it.
func load(values [][2]string) ([]byte, error) { return frame(script, values) }

func frame(script string, values [][2]string) ([]byte, error) {
	var out bytes.Buffer
	fmt.Fprintf(&out, "%d\n%s", strings.Count(script, "\n"), script)
	for _, value := range values {
		if strings.ContainsRune(value[1], 0) {
			return nil, fmt.Errorf("the value of %s holds a NUL byte", value[0])
		}
		fmt.Fprintf(&out, "%s %d\n%s\n", value[0], strings.Count(value[1], "\n")+1, value[1])
	}
	out.WriteString("end 0\n")
	return out.Bytes(), nil
}

// values of both modes.
func probeValues(mode, user string, owner Owner, deploy *v1alpha1.DeploySpec, limit time.Duration) [][2]string {
	var shared strings.Builder
	for _, s := range deploy.Shared {
		kind := s.Type
		if kind == "" {
			kind = v1alpha1.SharedDir
		}
		fmt.Fprintf(&shared, "%s\t%s\t%s\n", strings.TrimRight(string(s.Path), "/"), kind, s.Source)
	}
	layout := deploy.Layout
	if layout == "" {
		layout = v1alpha1.LayoutAtomic
	}
	return [][2]string{
		{"mode", mode}, {"user", user}, {"timeout", seconds(limit)},
		{"path", string(deploy.Path)}, {"layout", string(layout)}, {"state_dir", string(deploy.StateDir)},
		{"shared", shared.String()},
		{"owner", owner.ID}, {"service", string(owner.Service)}, {"adopt_from", string(owner.AdoptFrom)},
	}
}

// deliverValues adds what a delivery needs.
func deliverValues(user string, order *Order, limit time.Duration, pull *pullAccess) [][2]string {
	flag := func(set bool) string {
		if set {
			return "1"
		}
		return ""
	}
	keep := order.Deploy.KeepReleases
	if keep < 1 {
		keep = defaultKeepReleases
	}
	values := append(probeValues("deliver", user, order.Owner, &order.Deploy, limit),
		[2]string{"fence", strconv.FormatInt(order.Fence, 10)},
		[2]string{"digest", order.Digest},
		[2]string{"commit", line(order.Commit)},
		[2]string{"revision", line(order.Revision)},
		[2]string{"release", line(order.Release)},
		[2]string{"service_name", line(order.ServiceName)},
		[2]string{"keep", strings.Join(order.Keep, "\n")},
		[2]string{"keep_releases", strconv.Itoa(int(keep))},
		[2]string{"web_user", order.Deploy.WebUser},
		[2]string{"adopt", flag(order.Deploy.Adopt != nil && order.Deploy.Adopt.Existing)},
		[2]string{"repair", flag(order.Repair)},
		[2]string{"boot", flag(order.Boot)},
		[2]string{"as_is", flag(order.AsIs)},
		[2]string{"only", ""},
		[2]string{"depot_host", pull.host},
		[2]string{"depot_port", strconv.Itoa(pull.port)},
		[2]string{"depot_known", pull.knownHosts},
		[2]string{"certificate", strings.TrimSpace(string(pull.certificate))},
		[2]string{"key", strings.TrimSpace(string(pull.handedKey))},
	)
	values = append(values, hookValues("before", order.Deploy.Hooks.BeforeSwitch)...)
	return append(values, hookValues("after", order.Deploy.Hooks.AfterSwitch)...)
}

func hookValues(name string, hook *v1alpha1.HostHook) [][2]string {
	if hook == nil {
		hook = &v1alpha1.HostHook{}
	}
	limit := hook.Timeout.Duration
	if limit <= 0 {
		limit = defaultHookTimeout
	}
	return [][2]string{
		{name, strings.Join(hook.Command, "\n")}, {name + "_script", hook.Script}, {name + "_timeout", seconds(limit)},
	}
}

// seconds rounds up: no limit is 0.
func seconds(d time.Duration) string {
	return strconv.FormatInt(int64((d+time.Second-1)/time.Second), 10)
}

// line makes one line of a value that is kept in a file of lines.
func line(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
}
