// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package ec2

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

const (
	// poll is SQS's longest wait for a message, in seconds.
	poll = 20
	// atOnce is SQS's largest number of messages in one answer.
	atOnce = 10
	// settle is how long messages are gathered before a region is swept: what changes together is told of in many messages.
	settle = time.Second
	// maxQueueBackoff bounds the wait after calls that failed.
	maxQueueBackoff = time.Minute
)

// Queue takes events from an SQS queue and wakes the sweeps of the regions that they tell of. The sweeps find out what is so:
// a message that is lost, late, false or told twice changes nothing but how soon. So each is deleted as soon as it was read.
type Queue struct {
	// URL of the queue, Region that it is in.
	URL, Region string
	// Wake has a region swept soon.
	Wake func(region string)
	// Count counts a message by its kind. Default: nobody does.
	Count func(kind string)
	// connect makes the client. Default: the SDK's own chain of credentials.
	connect func(ctx context.Context, region string) (queueAPI, error)
}

type queueAPI interface {
	ReceiveMessage(context.Context, *sqs.ReceiveMessageInput, ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error)
	DeleteMessageBatch(context.Context, *sqs.DeleteMessageBatchInput, ...func(*sqs.Options)) (*sqs.DeleteMessageBatchOutput, error)
}

// ParseQueue reads a queue's URL, with its region in front where the URL does not name it: REGION=URL.
func ParseQueue(text string) (*Queue, error) {
	where, address, named := strings.Cut(text, "=")
	if !named || !region.MatchString(where) {
		where, address = "", text
	}
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || len(u.Path) < 2 || u.User != nil {
		return nil, fmt.Errorf("%q is not the URL of an SQS queue, such as https://sqs.ap-northeast-1.amazonaws.com/123456789012/slipway", text)
	}
	if labels := strings.Split(u.Hostname(), "."); where == "" && len(labels) > 2 && labels[0] == "sqs" && region.MatchString(labels[1]) {
		where = labels[1]
	}
	if where == "" {
		return nil, fmt.Errorf("%q does not name the queue's region: write REGION=URL", text)
	}
	return &Queue{URL: address, Region: where}, nil
}

// Start takes messages until ctx ends.
func (q *Queue) Start(ctx context.Context) error {
	if q.Count == nil {
		q.Count = func(string) {}
	}
	if q.connect == nil {
		q.connect = connectQueue
	}
	var api queueAPI
	var err error
	for failures := 0; ctx.Err() == nil; {
		if api == nil {
			api, err = q.connect(ctx, q.Region)
		}
		if err == nil {
			err = q.take(ctx, api)
		}
		if err == nil || ctx.Err() != nil {
			failures = 0
			continue
		}
		wait := min(time.Second<<min(failures, 6), maxQueueBackoff)
		failures++
		slog.Warn("events can't be taken from the queue: new instances are seen by the sweeps alone, which is slower",
			"queue", q.URL, "error", Explain(err), "after", wait)
		err = nil
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
	return nil
}

// take waits for messages, takes all that come within a moment, and wakes the regions that they tell of.
func (q *Queue) take(ctx context.Context, api queueAPI) error {
	regions, began, seconds := map[string]bool{}, time.Time{}, int32(poll)
	defer func() {
		for where := range regions {
			q.Wake(where)
		}
	}()
	for began.IsZero() || time.Since(began) < settle {
		out, err := api.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
			QueueUrl: aws.String(q.URL), MaxNumberOfMessages: atOnce, WaitTimeSeconds: seconds,
		})
		if err != nil {
			return fmt.Errorf("ReceiveMessage: %w", err)
		}
		if len(out.Messages) == 0 {
			return nil
		}
		for i := range out.Messages {
			kind, where := message(aws.ToString(out.Messages[i].Body))
			q.Count(kind)
			if where == "" {
				where = q.Region
			}
			if kind == KindEvent {
				regions[where] = true
			}
		}
		if err := q.remove(ctx, api, out.Messages); err != nil {
			return err
		}
		if began.IsZero() {
			began, seconds = time.Now(), 1
		}
	}
	return nil
}

// remove deletes messages. One that can't be deleted comes again, and does no harm.
func (q *Queue) remove(ctx context.Context, api queueAPI, messages []types.Message) error {
	entries := make([]types.DeleteMessageBatchRequestEntry, len(messages))
	for i := range messages {
		entries[i] = types.DeleteMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), ReceiptHandle: messages[i].ReceiptHandle}
	}
	if _, err := api.DeleteMessageBatch(ctx, &sqs.DeleteMessageBatchInput{QueueUrl: aws.String(q.URL), Entries: entries}); err != nil {
		return fmt.Errorf("DeleteMessageBatch: %w", err)
	}
	return nil
}
