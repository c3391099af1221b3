// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package console

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"hash/crc32"
	"html/template"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/slipway-dev/slipway/internal/conditions"
)

// view is one page: parts in their order, each of which is sent again when it has changed.
type view struct {
	// Title of the page.
	Title string
	Parts []part
	// Topic that the page is about: "namespace/service", or empty for all. It is looked at again when that changes.
	Topic string
	// Still says that nothing on it ever changes.
	Still bool
	// Restless says that something on it changes of which the cluster does not tell, such as a log: it is looked at every now and then.
	Restless bool
	// Reload is how often a browser without script loads the page anew; 0: after reloadAfter, less: never.
	Reload time.Duration
}

// reloadAfter is how often a browser without script loads a page anew, reloadTyping one on which people may be typing: that is lost.
const reloadAfter, reloadTyping = 15 * time.Second, 2 * time.Minute

// part is what a template makes of data, under an id of its own.
type part struct {
	ID, Template string
	Data         any
	// Place on the page.
	Place place
}

// place is where a part stands: over the whole width, or below that beside the others, where the window is wide.
type place int

const (
	across place = iota
	mainColumn
	sideColumn
)

// ask is one request for a page, by a user.
type ask struct {
	*http.Request
	console *Console
	user    *user
	now     time.Time
	// seen is the fleet, once it was read for this page.
	seen *fleet
	// tail is the end of the log that the page shows, once it was read.
	tail *logTail
}

// renew has what is asked for looked at again: what has changed since then counts.
func (a *ask) renew() {
	a.now, a.seen = a.console.Clock.Now(), nil
}

// errNotFound says that there is no such object, or that the user may not know of it.
var errNotFound = errors.New("not found")

// pageFunc makes a page. It has no effects.
type pageFunc func(ctx context.Context, a *ask) (view, error)

// frame is what the layout is made of.
type frame struct {
	Title string
	// Parts by their place.
	Parts, Main, Side []template.HTML
	Environment       string
	User              *Identity
	// Needs is how many things wait for somebody; less than 0 where nobody has counted.
	Needs int
	Path  string
	Stale time.Time
	Still bool
	// Reload is after how many seconds a browser without script loads the page anew; 0: never.
	Reload int
	Now    time.Time
	// May is how many Services the user may release; 0 if none, or if that is not known.
	May int
}

// page adds a page. Who asks for events at its address gets its parts whenever they change.
func (c *Console) page(pattern string, make pageFunc) {
	c.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		a, ok := c.ask(w, r)
		if !ok {
			return
		}
		if strings.HasPrefix(r.Header.Get("Accept"), "text/event-stream") {
			c.stream(w, a, make)
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), pageLimit)
		defer cancel()
		v, err := make(ctx, a)
		if err != nil {
			c.trouble(w, r, a, err)
			return
		}
		parts, err := c.parts(r, v)
		if err != nil {
			c.trouble(w, r, a, err)
			return
		}
		f := c.frame(ctx, a, conditions.OneLine(v.Title))
		f.Still, f.May = v.Still, a.mayRelease(ctx)
		if !v.Still && v.Reload >= 0 {
			f.Reload = int(cmp.Or(v.Reload, reloadAfter) / time.Second)
		}
		for i, p := range parts {
			switch v.Parts[i].Place {
			case mainColumn:
				f.Main = append(f.Main, p.html)
			case sideColumn:
				f.Side = append(f.Side, p.html)
			default:
				f.Parts = append(f.Parts, p.html)
			}
		}
		c.write(w, r, http.StatusOK, "layout", f)
	})
}

// ask finds out who asks. Without a session it answers itself.
func (c *Console) ask(w http.ResponseWriter, r *http.Request) (*ask, bool) {
	who, signedIn := c.whoIs(r)
	if signedIn {
		u, err := c.users.as(who)
		if err != nil {
			c.trouble(w, r, nil, err)
			return nil, false
		}
		return &ask{Request: r, console: c, user: u, now: c.Clock.Now()}, true
	}
	switch {
	case r.Method != http.MethodGet || strings.HasPrefix(r.Header.Get("Accept"), "text/event-stream"):
		c.fail(w, r, http.StatusUnauthorized, "error.signedOut", nil)
	case r.Header.Get("Sec-Fetch-Site") == "cross-site" && r.Header.Get("Sec-Fetch-Mode") == "navigate" && r.URL.Query().Get("again") == "":
		// A link from elsewhere brings no SameSite=Strict cookie: the page asks for itself once more.
		c.show(w, r, http.StatusOK, "again", Identity{}, localPath(r.URL.RequestURI()))
	default:
		http.Redirect(w, r, "/signin?next="+url.QueryEscape(localPath(r.URL.RequestURI())), http.StatusSeeOther)
	}
	return nil, false
}

// rendered is a part as a browser gets it.
type rendered struct {
	id, sum string
	html    template.HTML
}

func (c *Console) parts(r *http.Request, v view) ([]rendered, error) {
	var list []rendered
	for _, p := range v.Parts {
		var out bytes.Buffer
		if err := c.render.execute(&out, languageOf(r), p.Template, p.Data); err != nil {
			return nil, err
		}
		// The browser keeps what it has under the same sum: what somebody is about to press does not move for nothing.
		sum := strconv.FormatUint(uint64(crc32.ChecksumIEEE(out.Bytes())), 36)
		list = append(list, rendered{p.ID, sum, template.HTML(`<div class="part" id="` + p.ID + `" data-sum="` + sum + `">` + out.String() + `</div>`)})
	}
	return list, nil
}

func (c *Console) frame(ctx context.Context, a *ask, title string) frame {
	f := frame{Title: title, Environment: c.Environment, Path: localPath(a.URL.RequestURI()), Stale: c.hub.staleSince(), Now: a.now}
	if a.user != nil {
		f.User = &a.user.Identity
		if fleet, err := a.fleet(ctx); err == nil {
			f.Needs = len(fleet.Needs)
		}
	}
	return f
}

// show writes a page without parts, such as that to sign in.
func (c *Console) show(w http.ResponseWriter, r *http.Request, code int, name string, who Identity, data any) {
	var out bytes.Buffer
	if err := c.render.execute(&out, languageOf(r), name, data); err != nil {
		c.Logger.Error("render", "page", name, "error", err.Error())
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	f := frame{Title: c.render.text(languageOf(r), "title."+name), Environment: c.Environment, Path: "/", Needs: -1, Still: true, Now: c.Clock.Now()}
	f.Parts = []template.HTML{template.HTML(out.String())} // a template's
	if who.Name != "" {
		f.User = &who
	}
	c.write(w, r, code, "layout", f)
}

func (c *Console) write(w http.ResponseWriter, r *http.Request, code int, name string, data any) {
	var out bytes.Buffer
	if err := c.render.execute(&out, languageOf(r), name, withRequest(r, data)); err != nil {
		c.Logger.Error("render", "template", name, "error", err.Error())
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Vary", "Accept, Cookie, Accept-Language, Accept-Encoding")
	writeBody(w, r, code, out.Bytes())
}

// shown is a frame with what the browser asked for.
type shown struct {
	frame
	// Theme is light, dark or auto; Other is what one click changes it to.
	Theme, Other string
	// NoKeys turns single keys off.
	NoKeys bool
}

func withRequest(r *http.Request, data any) any {
	if f, is := data.(frame); is {
		s := shown{frame: f, Theme: themeOf(r), Other: "dark", NoKeys: keysOf(r) == "off"}
		if s.Theme == "dark" {
			s.Other = "light"
		}
		return s
	}
	return data
}

// problem is a page that says what went wrong, and what next.
type problem struct {
	Key    string
	Detail string
}

// trouble answers with what an error means.
func (c *Console) trouble(w http.ResponseWriter, r *http.Request, a *ask, err error) {
	switch {
	case errors.Is(err, errNotFound), apierrors.IsNotFound(err):
		c.fail(w, r, http.StatusNotFound, "error.notFound", a)
	case r.Context().Err() != nil:
		return
	default:
		c.Logger.Error("a page failed", "path", r.URL.Path, "error", err.Error())
		c.failWith(w, r, http.StatusInternalServerError, problem{"error.internal", sentence(err)}, a)
	}
}

func (c *Console) fail(w http.ResponseWriter, r *http.Request, code int, key string, a *ask) {
	c.failWith(w, r, code, problem{Key: key}, a)
}

func (c *Console) failWith(w http.ResponseWriter, r *http.Request, code int, p problem, a *ask) {
	var who Identity
	if a != nil && a.user != nil {
		who = a.user.Identity
	} else if found, is := c.whoIs(r); is {
		who = found
	}
	c.show(w, r, code, "problem", who, p)
}

func (c *Console) notFound(w http.ResponseWriter, r *http.Request) {
	c.fail(w, r, http.StatusNotFound, "error.notFound", nil)
}

// sentence is what the API server says, without the names of its own kinds of errors.
func sentence(err error) string {
	var status apierrors.APIStatus
	if errors.As(err, &status) {
		if details := status.Status().Details; details != nil && len(details.Causes) > 0 {
			var texts []string
			for _, cause := range details.Causes {
				texts = append(texts, strings.TrimSpace(cause.Field+": "+cause.Message))
			}
			return strings.Join(texts, "; ")
		}
		return status.Status().Message
	}
	return err.Error()
}
