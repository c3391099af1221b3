// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package awstest

import (
	"context"
	"crypto/md5" //nolint:gosec // SQS's own sum of a message's body, which the SDK compares
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// visibility is how long a message that was taken stays away from others.
const visibility = 30 * time.Second

// queued is a message of a queue.
type queued struct {
	id, receipt, body string
	hidden            time.Time
}

// queues are SQS's.
type queues struct {
	messages map[string][]*queued
	// sent is closed when a message was sent, and then replaced.
	sent chan struct{}
	// events is where the cloud tells what happens; empty is nowhere.
	events string
	serial int
}

// AddQueue makes a queue and returns its URL. A standard queue may give a message twice and in any order; this one gives the
// youngest first.
func (c *Cloud) AddQueue(name string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	url := c.URL() + "/" + Account + "/" + name
	c.messages[url] = nil
	return url
}

// Tell has what happens to instances sent to a queue, as EventBridge does by a rule; an empty URL ends that.
func (c *Cloud) Tell(url string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.events = url
}

// Send puts messages into a queue.
func (c *Cloud) Send(url string, bodies ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, body := range bodies {
		c.send(url, body)
	}
}

// Left counts the messages that nobody has deleted.
func (c *Cloud) Left(url string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.messages[url])
}

func (c *Cloud) send(url, body string) {
	c.serial++
	id := fmt.Sprintf("00000000-0000-0000-0000-%012d", c.serial)
	c.messages[url] = append(c.messages[url], &queued{id: id, receipt: "receipt-" + id, body: body})
	close(c.sent)
	c.sent = make(chan struct{})
}

// announce tells of an instance that came to a hook, in the shape of EventBridge. The lock is held.
func (c *Cloud) announce(i *Instance, h Hook) {
	if c.events == "" {
		return
	}
	kind := map[string]string{Launching: "EC2 Instance-launch Lifecycle Action", Terminating: "EC2 Instance-terminate Lifecycle Action"}[h.Transition]
	event := map[string]any{
		"version": "0", "id": "12345678-1234-1234-1234-123456789012", "detail-type": kind, "source": "aws.autoscaling", "account": Account,
		"time": c.Now().UTC().Format(time.RFC3339), "region": i.Region,
		"resources": []string{"arn:aws:autoscaling:" + i.Region + ":" + Account + ":autoScalingGroup:uuid:autoScalingGroupName/" + i.Group},
		"detail": map[string]string{
			"LifecycleActionToken": "87654321-4321-4321-4321-210987654321", "AutoScalingGroupName": i.Group, "LifecycleHookName": h.Name,
			"EC2InstanceId": i.ID, "LifecycleTransition": h.Transition, "Origin": "EC2", "Destination": "AutoScalingGroup",
		},
	}
	body, _ := json.Marshal(event)
	c.send(c.events, string(body))
}

// serveQueue answers a call of SQS in AWS JSON 1.0.
func (c *Cloud) serveQueue(w http.ResponseWriter, r *http.Request) {
	action := strings.TrimPrefix(r.Header.Get("X-Amz-Target"), "AmazonSQS.")
	var in struct {
		QueueUrl        string
		WaitTimeSeconds int
		MaxMessages     int `json:"MaxNumberOfMessages"`
		Entries         []struct{ Id, ReceiptHandle string }
	}
	_ = json.NewDecoder(r.Body).Decode(&in)
	c.mu.Lock()
	c.calls[action]++
	_, _, known := c.identity(r.Header.Get("Authorization"))
	how, refused := c.refusal(action)
	_, there := c.messages[in.QueueUrl]
	c.mu.Unlock()
	switch {
	case !known:
		refuseJSON(w, Refusal{403, "InvalidClientTokenId", "The security token included in the request is invalid."})
	case refused:
		refuseJSON(w, how)
	case !there:
		refuseJSON(w, Refusal{400, "AWS.SimpleQueueService.NonExistentQueue", "The specified queue does not exist."})
	case action == "ReceiveMessage":
		writeJSON(w, map[string]any{"Messages": c.receive(r.Context(), in.QueueUrl, max(in.MaxMessages, 1), time.Duration(in.WaitTimeSeconds)*time.Second)})
	case action == "DeleteMessageBatch":
		writeJSON(w, map[string]any{"Successful": c.deleteMessages(in.QueueUrl, in.Entries), "Failed": []any{}})
	default:
		refuseJSON(w, Refusal{400, "InvalidAction", action})
	}
}

// receive takes messages, and waits for the first of them.
func (c *Cloud) receive(ctx context.Context, url string, limit int, patience time.Duration) []map[string]string {
	over := time.After(patience)
	for {
		c.mu.Lock()
		taken, sent := []map[string]string{}, c.sent
		for n := len(c.messages[url]) - 1; n >= 0 && len(taken) < limit; n-- {
			m := c.messages[url][n]
			if c.Now().Before(m.hidden) {
				continue
			}
			m.hidden = c.Now().Add(visibility)
			sum := md5.Sum([]byte(m.body)) //nolint:gosec // as above
			taken = append(taken, map[string]string{"MessageId": m.id, "ReceiptHandle": m.receipt, "Body": m.body, "MD5OfBody": hex.EncodeToString(sum[:])})
		}
		c.mu.Unlock()
		if len(taken) > 0 {
			return taken
		}
		select {
		case <-over:
			return taken
		case <-ctx.Done():
			return taken
		case <-sent:
		}
	}
}

func (c *Cloud) deleteMessages(url string, entries []struct{ Id, ReceiptHandle string }) []map[string]string {
	c.mu.Lock()
	defer c.mu.Unlock()
	done := []map[string]string{}
	for _, entry := range entries {
		kept := c.messages[url][:0:0]
		for _, m := range c.messages[url] {
			if m.receipt != entry.ReceiptHandle {
				kept = append(kept, m)
			}
		}
		c.messages[url] = kept
		done = append(done, map[string]string{"Id": entry.Id})
	}
	return done
}

func refuseJSON(w http.ResponseWriter, how Refusal) {
	w.Header().Set("X-Amzn-Query-Error", how.Code+";Sender")
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	w.WriteHeader(how.Status)
	_ = json.NewEncoder(w).Encode(map[string]string{"__type": "com.amazonaws.sqs#" + how.Code, "message": how.Message})
}

func writeJSON(w http.ResponseWriter, answer any) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	_ = json.NewEncoder(w).Encode(answer)
}
