// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

// Package console is the web page: what runs where, what is happening, what needs somebody, and the five verbs. It reads from
// caches, writes as the signed-in user and decides nothing about who may do what: Kubernetes does.
package console

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"runtime/debug"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/slipway-dev/slipway/internal/depot"
)

// Options of the Console.
type Options struct {
	// Address to listen at, and where people reach it: links and the cookie's name go by that. Default of URL: http and Address.
	Address string
	URL     string
	// Environment is the badge in the top bar, such as production. Default: none.
	Environment string
	// Cache answers reads. Its Releases and Targets are indexed by ServiceField.
	Cache client.Reader
	// Config is the Console's own way to the API server, which may impersonate users, and Direct a client of it without a cache.
	Config *rest.Config
	Direct client.Client
	Mapper meta.RESTMapper
	Scheme *runtime.Scheme
	// Depot has logs and commits.
	Depot depot.Reader
	// Link signs in with a one-time link, as this user; nil: there are no such links.
	Link *Identity
	// OIDC signs in with OpenID Connect; nil: there is none.
	OIDC  *OIDC
	Clock clock.PassiveClock
	// Logger gets one line for each action.
	Logger *slog.Logger
	// CertFile and KeyFile are the server's certificate. Empty: plain http, which only a loopback address may be served by
	// unless Insecure says that something in front of it speaks https.
	CertFile, KeyFile string
	Insecure          bool
}

// ServiceField is the index of Releases and Targets by the name of their Service.
const ServiceField = "spec.service"

// contentPolicy lets a page load what is the Console's own, send forms to it, and stand in no frame.
const contentPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; " +
	"frame-ancestors 'none'"

const (
	// maxForm bounds a form.
	maxForm = 64 << 10
	// pageLimit bounds how long a page may take, writeLimit how long a browser may take to load it.
	pageLimit, writeLimit = 20 * time.Second, 2 * time.Minute
)

// Console serves the pages.
type Console struct {
	Options
	render   *renderer
	sessions *sessions
	users    *users
	links    *links
	oidc     *signInByOIDC
	attempts *limiter
	hub      *hub
	secure   bool
	mux      *http.ServeMux
	// beat and look are heartbeat and restlessEvery; tests have no time for them.
	beat, look time.Duration
}

// New returns a Console.
func New(o Options) (*Console, error) {
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	if o.CertFile == "" && !o.Insecure && !onLoopback(o.Address) {
		return nil, fmt.Errorf("--console-address %s is no loopback address: give --console-cert and --console-key, or --console-behind-proxy "+
			"if what stands before it speaks https", o.Address)
	}
	if o.URL == "" && !onLoopback(o.Address) {
		return nil, fmt.Errorf("--console-address %s is no loopback address: give --console-url, the address by which people reach the Console", o.Address)
	}
	if o.Insecure && !strings.HasPrefix(o.URL, "https://") {
		return nil, errors.New("--console-behind-proxy needs --console-url, the https:// address by which people reach the Console")
	}
	r, err := newRenderer()
	if err != nil {
		return nil, err
	}
	c := &Console{
		Options: o, render: r, sessions: newSessions(o.Clock), links: newLinks(o.Clock), attempts: newLimiter(o.Clock), hub: newHub(),
		users:  newUsers(o.Config, o.Mapper, o.Scheme, o.Clock),
		secure: o.CertFile != "" || strings.HasPrefix(o.URL, "https://"),
		beat:   heartbeat,
		look:   restlessEvery,
	}
	if o.OIDC != nil {
		c.oidc = newSignInByOIDC(*o.OIDC)
	}
	c.mux = http.NewServeMux()
	c.routes()
	return c, nil
}

// onLoopback says whether only this machine reaches an address.
func onLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	return err == nil && (host == "localhost" || net.ParseIP(host).IsLoopback())
}

func (c *Console) routes() {
	c.mux.Handle("GET /static/", c.static())
	c.mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	c.mux.HandleFunc("GET /signin", c.signInPage)
	c.mux.HandleFunc("POST /signin", c.signIn)
	if c.oidc != nil {
		c.mux.HandleFunc("GET /oidc/start", c.startOIDC)
		c.mux.HandleFunc("GET "+callbackPath, c.finishOIDC)
	}
	c.mux.HandleFunc("GET /link/{key}", c.linkPage)
	c.mux.HandleFunc("POST /link/{key}", c.followLink)
	c.mux.HandleFunc("POST /signout", c.signOut)
	c.mux.HandleFunc("POST /settings", c.settings)

	c.page("GET /{$}", fleetPage)
	c.page("GET /targets", targetsPage)
	c.page("GET /activity", activityPage)
	c.page("GET /me", mePage)
	c.page("GET /help", helpPage)
	c.page("GET /s/{ns}/{name}", servicePage)
	c.page("GET /s/{ns}/{name}/new", newPage)
	c.page("GET /s/{ns}/{name}/back", backPage)
	c.page("GET /s/{ns}/{name}/history", historyPage)
	c.page("GET /s/{ns}/{name}/diff/{range}", diffPage)
	c.page("GET /r/{ns}/{name}", releasePage)
	c.page("GET /r/{ns}/{name}/log", logPage)
	c.page("GET /r/{ns}/{name}/t/{target}", targetPage)
	c.mux.HandleFunc("GET /r/{ns}/{name}/follow", c.followLog)
	c.mux.HandleFunc("GET /r/{ns}/{name}/raw", c.rawLog)
	c.mux.HandleFunc("GET /jump", c.jump)
	// Links in notifications are older than the pages.
	c.mux.HandleFunc("GET /namespaces/{ns}/services/{service}/releases/{name}", func(w http.ResponseWriter, r *http.Request) {
		namespace, name := r.PathValue("ns"), r.PathValue("name")
		if validation.IsDNS1123Label(namespace) != nil || validation.IsDNS1123Subdomain(name) != nil {
			c.notFound(w, r) // what is no name could lead to another site
			return
		}
		http.Redirect(w, r, "/r/"+namespace+"/"+name, http.StatusSeeOther)
	})

	c.action("POST /s/{ns}/{name}/plan", c.plan)
	c.action("POST /s/{ns}/{name}/release", c.release)
	c.action("POST /s/{ns}/{name}/lock", c.lock)
	c.action("POST /s/{ns}/{name}/unlock", c.unlock)
	c.action("POST /r/{ns}/{name}/pause", c.patchRelease("pause"))
	c.action("POST /r/{ns}/{name}/resume", c.patchRelease("resume"))
	c.action("POST /r/{ns}/{name}/abort", c.patchRelease("abort"))
	c.action("POST /r/{ns}/{name}/rollback", c.patchRelease("rollback"))
	c.action("POST /r/{ns}/{name}/approve", c.approve)
	c.action("POST /r/{ns}/{name}/override", c.override)
	c.action("POST /r/{ns}/{name}/t/{target}/retry", c.retry)
	c.mux.HandleFunc("/", c.notFound)
}

// Handler is the whole Console.
func (c *Console) Handler() http.Handler {
	protection := http.NewCrossOriginProtection()
	protection.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.fail(w, r, http.StatusForbidden, "error.crossOrigin", nil)
	}))
	return c.guard(protection.Handler(c.mux))
}

// guard sets what holds for every answer.
func (c *Console) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", contentPolicy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
		if c.secure {
			h.Set("Strict-Transport-Security", "max-age=31536000")
		}
		if !strings.HasPrefix(r.URL.Path, "/static/") {
			h.Set("Cache-Control", "no-store")
		}
		if r.URL.Path != "/healthz" && !c.ownHost(r.Host) {
			http.Error(w, "This is not the Console's address: see --console-url.", http.StatusMisdirectedRequest)
			return
		}
		defer c.recovered(w, r)
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		// Who takes an answer too slowly holds nothing up. Streams go on for longer than that, event by event.
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeLimit))
		next.ServeHTTP(w, r)
	})
}

// ownHost says whether a request was meant for the Console: another name that leads here is somebody's who wants browsers to take
// his pages for ours (DNS rebinding). Addresses of this machine are nobody's name.
func (c *Console) ownHost(host string) bool {
	if onLoopback(host) || onLoopback(net.JoinHostPort(strings.Trim(host, "[]"), "0")) {
		return true
	}
	own, err := url.Parse(c.URL)
	if err != nil {
		return false
	}
	usual := map[string]string{"http": ":80", "https": ":443"}[own.Scheme]
	return strings.EqualFold(strings.TrimSuffix(own.Host, usual), strings.TrimSuffix(host, usual))
}

// recovered answers where a page panicked, which is a fault of ours.
func (c *Console) recovered(w http.ResponseWriter, r *http.Request) {
	fault := recover()
	if fault == nil {
		return
	}
	if err, is := fault.(error); is && errors.Is(err, http.ErrAbortHandler) {
		panic(fault) // the server's own way to break an answer off
	}
	c.Logger.Error("a page panicked", "path", r.URL.Path, "fault", fmt.Sprint(fault), "stack", string(debug.Stack()))
	if !strings.HasPrefix(w.Header().Get("Content-Type"), "text/event-stream") { // which has begun already
		c.fail(w, r, http.StatusInternalServerError, "error.internal", nil)
	}
}

// Serve answers until ctx ends. listening is told where.
func (c *Console) Serve(ctx context.Context, listening func(url string)) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", c.Address)
	if err != nil {
		return fmt.Errorf("serve the Console at %s: %w", c.Address, err)
	}
	if c.URL == "" {
		scheme := "http"
		if c.CertFile != "" {
			scheme = "https"
		}
		c.URL = scheme + "://" + listener.Addr().String()
	}
	server := &http.Server{
		Handler: c.Handler(), ReadHeaderTimeout: 10 * time.Second, ReadTimeout: time.Minute, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
		BaseContext: func(net.Listener) context.Context { return ctx }, // streams end with the Console
		ErrorLog:    slog.NewLogLogger(c.Logger.Handler(), slog.LevelDebug),
	}
	stop := context.AfterFunc(ctx, func() {
		late, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		if server.Shutdown(late) != nil {
			_ = server.Close()
		}
	})
	defer stop()
	go c.watchUpstream(ctx)
	listening(c.URL)
	if c.CertFile != "" {
		err = server.ServeTLS(listener, c.CertFile, c.KeyFile)
	} else {
		err = server.Serve(listener)
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}
