// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

// Package awstest is a small AWS on loopback that speaks the wire protocols of EC2, Auto Scaling, Elastic Load Balancing, SQS and STS, for tests and
// demonstrations. It is as unkind as AWS: it answers in no order, splits reservations over pages, lets terminated
// instances linger, forgets one now and then, throttles and refuses.
package awstest

import (
	"fmt"
	"maps"
	"net/http/httptest"
	"strings"
	"sync"
	"time"
)

// Instance is a machine of the cloud. Its zero fields are filled in by Add.
type Instance struct {
	ID         string
	Region     string
	Zone       string
	Type       string
	State      string
	PrivateIP  string
	PublicIP   string
	Tags       map[string]string
	LaunchTime time.Time
	// Reservation it was started with.
	Reservation string
	// Group and Lifecycle within Auto Scaling.
	Group     string
	Lifecycle string
	// UserData that it was launched with, as it is; EC2's own calls carry it in base64.
	UserData []byte
}

// Role that may be assumed.
type Role struct {
	ARN        string
	ExternalID string
}

// Refusal is how the cloud answers a call that it does not carry out.
type Refusal struct {
	Status  int
	Code    string
	Message string
}

// Throttled is what EC2 answers when an account asks too often.
var Throttled = Refusal{Status: 503, Code: "RequestLimitExceeded", Message: "Request limit exceeded."}

// Denied is what EC2 answers without the right to ask.
var Denied = Refusal{Status: 403, Code: "UnauthorizedOperation", Message: "You are not authorized to perform this operation."}

// Account is the account of whoever does not assume a role, and of what they see. Who assumes one sees instances of its account.
const Account = "123456789012"

// AccessKey and SecretKey are the credentials that the cloud knows from the start.
const (
	AccessKey = "AKIATESTTESTTESTTEST"
	SecretKey = "test-test-test"
)

// Image is what every instance was started from.
const Image = "ami-0123456789abcdef0"

// Cloud is the cloud.
type Cloud struct {
	server *httptest.Server

	mu        sync.Mutex
	instances map[string]*Instance
	roles     map[string]Role
	// sessions are the access keys of assumed roles.
	sessions map[string]string
	// refusals by action: how often, and how.
	refusals map[string][]Refusal
	always   map[string]Refusal
	// hidden says in how many more answers an instance is missing.
	hidden map[string]int
	calls  map[string]int
	pages  map[string]page
	number int
	lifecycles
	queues
	// groups are Elastic Load Balancing's target groups, by ARN.
	groups map[string]*TargetGroup
	// Now is the cloud's clock. Default time.Now.
	Now func() time.Time
	// signers of identity documents by region, made when first needed.
	signers map[string]*signer
}

// New starts a cloud. Close ends it.
func New() *Cloud {
	c := &Cloud{
		instances: map[string]*Instance{}, roles: map[string]Role{}, sessions: map[string]string{}, refusals: map[string][]Refusal{},
		always: map[string]Refusal{}, hidden: map[string]int{}, calls: map[string]int{}, pages: map[string]page{},
		signers: map[string]*signer{}, lifecycles: newLifecycles(), queues: queues{messages: map[string][]*queued{}, sent: make(chan struct{})}, Now: time.Now,
	}
	c.server = httptest.NewServer(c)
	return c
}

// Close ends the cloud.
func (c *Cloud) Close() { c.server.Close() }

// URL is what AWS_ENDPOINT_URL is set to.
func (c *Cloud) URL() string { return c.server.URL }

// Environment makes the SDK speak to the cloud, as KEY=VALUE.
func (c *Cloud) Environment() []string {
	return []string{
		"AWS_ENDPOINT_URL=" + c.URL(), "AWS_ACCESS_KEY_ID=" + AccessKey, "AWS_SECRET_ACCESS_KEY=" + SecretKey, "AWS_SESSION_TOKEN=",
		"AWS_EC2_METADATA_DISABLED=true", "AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null", "AWS_PROFILE=",
	}
}

// Add starts an instance and returns its id. Default: running, in ap-northeast-1a, of type t4g.small.
func (c *Cloud) Add(i Instance) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.number++
	fill := func(field *string, value string) {
		if *field == "" {
			*field = value
		}
	}
	fill(&i.ID, fmt.Sprintf("i-%017x", c.number))
	fill(&i.Region, "ap-northeast-1")
	fill(&i.Zone, i.Region+string(rune('a'+c.number%3)))
	fill(&i.Type, "t4g.small")
	fill(&i.State, "running")
	fill(&i.PrivateIP, fmt.Sprintf("10.%d.%d.%d", c.number>>16&255, c.number>>8&255, c.number&255))
	fill(&i.Reservation, fmt.Sprintf("r-%017x", c.number/3)) // three instances share one
	if i.LaunchTime.IsZero() {
		i.LaunchTime = time.Now().UTC().Truncate(time.Second)
	}
	i.Tags = maps.Clone(i.Tags)
	if i.Group != "" {
		if i.Tags == nil {
			i.Tags = map[string]string{}
		}
		i.Tags["aws:autoscaling:groupName"] = i.Group
		fill(&i.Lifecycle, "InService")
	}
	c.instances[i.ID] = &i
	c.wait(&i)
	return i.ID
}

// Change changes an instance.
func (c *Cloud) Change(id string, change func(*Instance)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change(c.instances[id])
	c.wait(c.instances[id])
}

// Terminate ends an instance; it lingers in answers until Remove.
func (c *Cloud) Terminate(id string) {
	c.Change(id, func(i *Instance) { i.State, i.Lifecycle, i.PrivateIP = "terminated", "", "" })
}

// Remove makes an instance as if it had never been.
func (c *Cloud) Remove(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.instances, id)
}

// Hide leaves an instance out of the next answers.
func (c *Cloud) Hide(id string, answers int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hidden[id] = answers
}

// Trust lets a role be assumed.
func (c *Cloud) Trust(r Role) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.roles[r.ARN] = r
}

// Refuse answers the next calls of an action so; times below 1 means until Permit.
func (c *Cloud) Refuse(action string, how Refusal, times int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if times < 1 {
		c.always[action] = how
	}
	for range times {
		c.refusals[action] = append(c.refusals[action], how)
	}
}

// Permit ends refusals.
func (c *Cloud) Permit(action string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.always, action)
	delete(c.refusals, action)
}

// Calls counts the calls of an action since the start, those that were refused included.
func (c *Cloud) Calls(action string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.calls[action]
}

// refusal says how a call is refused, if it is. The lock is held.
func (c *Cloud) refusal(action string) (Refusal, bool) {
	if how, ok := c.always[action]; ok {
		return how, true
	}
	if queue := c.refusals[action]; len(queue) > 0 {
		c.refusals[action] = queue[1:]
		return queue[0], true
	}
	return Refusal{}, false
}

// identity is who signed a call: a role's ARN, or empty for the account itself. The lock is held.
func (c *Cloud) identity(authorization string) (region, role string, ok bool) {
	_, scope, found := strings.Cut(authorization, "Credential=")
	parts := strings.Split(scope, "/")
	if !found || len(parts) < 4 {
		return "", "", false
	}
	if parts[0] == AccessKey {
		return parts[2], "", true
	}
	role, ok = c.sessions[parts[0]]
	return parts[2], role, ok
}
