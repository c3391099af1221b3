// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package awstest

import (
	"encoding/xml"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// page is where the next answer goes on.
type page struct {
	ids  []string
	from int
}

// call is one call of the API.
type call struct {
	action string
	form   url.Values
	region string
	// role that signed it; empty for the account itself.
	role string
}

// ServeHTTP implements http.Handler.
func (c *Cloud) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 1<<20)
	if strings.HasPrefix(r.Header.Get("X-Amz-Target"), "AmazonSQS.") {
		c.serveQueue(w, r)
		return
	}
	if err := r.ParseForm(); err != nil {
		refuse(w, "", Refusal{400, "MalformedQueryString", err.Error()})
		return
	}
	in := call{action: r.PostForm.Get("Action"), form: r.PostForm}
	answer, refusal := c.answer(&in, r.Header.Get("Authorization"))
	if refusal != nil {
		refuse(w, in.action, *refusal)
		return
	}
	write(w, http.StatusOK, answer)
}

// answer carries a call out.
func (c *Cloud) answer(in *call, authorization string) (any, *Refusal) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls[in.action]++
	var known bool
	if in.region, in.role, known = c.identity(authorization); !known {
		return nil, &Refusal{401, "AuthFailure", "AWS was not able to validate the provided access credentials"}
	}
	if how, refused := c.refusal(in.action); refused {
		return nil, &how
	}
	c.expire()
	switch in.action {
	case "DescribeLifecycleHooks":
		return c.describeHooks(in)
	case "RecordLifecycleActionHeartbeat":
		return c.heartbeat(in)
	case "CompleteLifecycleAction":
		return c.completeAction(in)
	case "DescribeWarmPool":
		return c.describeWarmPool(in)
	case "DescribeInstances":
		return c.describeInstances(in)
	case "DescribeAutoScalingGroups":
		return c.describeGroups(in)
	case "DescribeTargetGroups":
		return c.describeTargetGroups(in)
	case "DescribeTargetHealth":
		return c.describeTargetHealth(in)
	case "RegisterTargets":
		return c.registerTargets(in)
	case "DeregisterTargets":
		return c.deregisterTargets(in)
	case "AssumeRole":
		return c.assumeRole(in)
	}
	return nil, &Refusal{400, "InvalidAction", "The action " + in.action + " is not valid for this web service."}
}

// account that the call is made in: the role's, or the cloud's own.
func (in *call) account() string {
	if parts := strings.Split(in.role, ":"); len(parts) > 4 {
		return parts[4]
	}
	return Account
}

// refuse writes an error as the action's service writes it.
func refuse(w http.ResponseWriter, action string, how Refusal) {
	if action == "DescribeInstances" {
		write(w, how.Status, struct {
			XMLName xml.Name `xml:"Response"`
			Code    string   `xml:"Errors>Error>Code"`
			Message string   `xml:"Errors>Error>Message"`
			Request string   `xml:"RequestID"`
		}{Code: how.Code, Message: how.Message, Request: "00000000-0000-0000-0000-000000000000"})
		return
	}
	write(w, how.Status, struct {
		XMLName xml.Name `xml:"ErrorResponse"`
		Type    string   `xml:"Error>Type"`
		Code    string   `xml:"Error>Code"`
		Message string   `xml:"Error>Message"`
		Request string   `xml:"RequestId"`
	}{Type: "Sender", Code: how.Code, Message: how.Message, Request: "00000000-0000-0000-0000-000000000000"})
}

// write sends one answer.
func write(w http.ResponseWriter, status int, answer any) {
	body, err := xml.Marshal(answer)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/xml;charset=UTF-8")
	w.Header().Set("Content-Length", strconv.Itoa(len(xml.Header)+len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(append([]byte(xml.Header), body...))
}

// list reads the values PREFIX1, PREFIX2, …
func (in *call) list(prefix string) []string {
	var values []string
	for n := 1; ; n++ {
		value, there := in.form[prefix+strconv.Itoa(n)]
		if !there {
			return values
		}
		values = append(values, value[0])
	}
}

// number reads a number, or the default.
func (in *call) number(key string, otherwise int) int {
	if n, err := strconv.Atoi(in.form.Get(key)); err == nil {
		return n
	}
	return otherwise
}

// next takes the page that a token names, or the first one of ids, and the token of the page after it.
func (c *Cloud) next(token string, ids func() []string, size int) (now []string, after string, refusal *Refusal) {
	p := page{}
	if token == "" {
		p.ids = ids()
	} else {
		var known bool
		if p, known = c.pages[token]; !known {
			return nil, "", &Refusal{400, "InvalidNextToken", "The token is not valid."}
		}
	}
	end := min(p.from+size, len(p.ids))
	now = p.ids[p.from:end]
	if end < len(p.ids) {
		c.number++
		after = "token-" + strconv.Itoa(c.number)
		c.pages[after] = page{ids: p.ids, from: end}
	}
	return now, after, nil
}
