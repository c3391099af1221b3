// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package processes

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path"
	"strings"
	"sync"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	ec2 "github.com/slipway-dev/slipway/test/instances"
)

// nginx is the preset of docs/php.md, with the root that PHP is told.
const nginx = `server {
	listen 80 default_server;
	root /var/www/site/current/public;
	index index.php;
	location ~ \.php$ {
		include fastcgi_params;
		fastcgi_param SCRIPT_FILENAME %[1]s$fastcgi_script_name;
		fastcgi_param DOCUMENT_ROOT %[1]s;
		fastcgi_pass unix:/run/php/%[2]s.sock;
	}
}
`

// php are the files of an instance that serves a PHP site. Its opcode cache never looks whether a file has changed.
func php(t *testing.T, root string) (files map[string]string, unit string) {
	t.Helper()
	debian, err := ec2.Debian(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	programs := debian.Find("usr/sbin/php-fpm*")
	if len(programs) != 1 {
		t.Fatalf("Debian's php-fpm: %v", programs)
	}
	version := strings.TrimPrefix(path.Base(programs[0]), "php-fpm")
	unit = "php" + version + "-fpm"
	return map[string]string{
		"etc/nginx/sites-available/default":               fmt.Sprintf(nginx, root, unit),
		"etc/systemd/system/nginx.service.d/php.conf":     "[Unit]\nWants=" + unit + ".service\nAfter=" + unit + ".service\n",
		"etc/php/" + version + "/fpm/conf.d/90-site.ini":  "opcache.enable=1\nopcache.validate_timestamps=0\n",
		"etc/php/" + version + "/fpm/pool.d/zz-site.conf": "[global]\nprocess_control_timeout = 10s\n",
		"etc/sudoers.d/slipway":                           "deploy ALL=(root) NOPASSWD: /usr/bin/systemctl reload " + unit + ".service\n",
	}, unit
}

// site is a PHP application whose page is made by two files, the second of which is read late.
func site(version string) map[string]string {
	return map[string]string{
		"public/index.php": "<?php $first = '" + version + "'; usleep(20000); require __DIR__ . '/../lib/late.php'; echo $first, ' ', late(), \"\\n\";\n",
		"lib/late.php":     "<?php function late() { return '" + version + "'; }\n",
	}
}

// visits counts what visitors of a site were answered, by whether they asked before a time or after it.
type visits struct {
	mu            sync.Mutex
	before, after map[string]int
	since         time.Time
}

// from begins to count as after.
func (v *visits) from(now time.Time) { v.mu.Lock(); defer v.mu.Unlock(); v.since = now }

func (v *visits) count(asked time.Time, answer string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if of := v.after; !v.since.IsZero() && asked.After(v.since) {
		of[answer]++
	} else {
		v.before[answer]++
	}
}

func (v *visits) total(of map[string]int) int {
	v.mu.Lock()
	defer v.mu.Unlock()
	n := 0
	for _, count := range of {
		n += count
	}
	return n
}

// visit has visitors ask an address until the context ends.
func visit(ctx context.Context, address string) (*visits, *sync.WaitGroup) {
	v, work := &visits{before: map[string]int{}, after: map[string]int{}}, &sync.WaitGroup{}
	client := &http.Client{Timeout: 10 * time.Second}
	for range 4 {
		work.Go(func() {
			for ctx.Err() == nil {
				asked := time.Now()
				answer, err := client.Get("http://" + address + "/")
				if err != nil {
					v.count(asked, err.Error())
					continue
				}
				text, _ := io.ReadAll(io.LimitReader(answer.Body, 1<<16))
				_ = answer.Body.Close()
				if answer.StatusCode != http.StatusOK {
					text = []byte(answer.Status)
				}
				v.count(asked, strings.TrimSpace(string(text)))
			}
		})
	}
	return v, work
}

// With the preset of docs/php.md a site serves the new code from the moment of the switch on, and no request sees both or an error,
// with an opcode cache that never looks at files again. Without it the old code stays: PHP does not see where a link leads by then.
func TestPHPServesTheNewCode(t *testing.T) {
	for name, c := range map[string]struct {
		root   string
		reload bool
		stale  bool
	}{
		"the real path and a reload": {"$realpath_root", true, false},
		"the real path":              {"$realpath_root", false, false},
		"the link's path":            {"$document_root", false, true},
	} {
		t.Run(name, func(t *testing.T) {
			if err := ec2.Available(); err != nil {
				if os.Getenv("SLIPWAY_REQUIRE_ALL") == "1" {
					t.Fatal(err)
				}
				t.Skip(err)
			}
			files, unit := php(t, c.root)
			s := newScaled(t, files, func(service *v1alpha1.Service) {
				service.Spec.Deploy.Hooks = v1alpha1.Hooks{}
				if c.reload {
					service.Spec.Deploy.Hooks.AfterSwitch = &v1alpha1.HostHook{Script: `[ -n "$SLIPWAY_BOOT" ] || sudo systemctl reload ` + unit + ".service"}
				}
			})
			one, two := strings.Repeat("1", 40), strings.Repeat("2", 40)
			s.builtFiles(one, site("old"))
			s.builtFiles(two, site("new"))
			s.release("blog-1", one)
			s.scale(1)
			s.completed("blog-1")
			events, _ := s.region.Events()
			ctx, stop := context.WithCancel(t.Context())
			v, work := visit(ctx, events[len(events)-1].Address)
			defer work.Wait()
			defer stop()
			s.g.Eventually(func() int { return v.total(v.before) }, time.Minute, 20*time.Millisecond).Should(BeNumerically(">", 100))
			s.release("blog-2", two)
			v.from(s.completed("blog-2"))
			s.g.Eventually(func() int { return v.total(v.after) }, time.Minute, 20*time.Millisecond).Should(BeNumerically(">", 200))
			stop()
			work.Wait()
			t.Logf("before: %v, after: %v", v.before, v.after)
			if c.stale {
				s.g.Expect(v.after).To(HaveKey("old old"))
				return
			}
			s.g.Expect(v.after).To(HaveLen(1))
			s.g.Expect(v.after).To(HaveKey("new new"))
			s.g.Expect(v.before).To(HaveKey("old old"))
			delete(v.before, "old old")
			delete(v.before, "new new")
			s.g.Expect(v.before).To(BeEmpty(), "nobody saw both, or an error")
		})
	}
}
