// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package ec2

import "testing"

// Anybody who may send to the queue can have a region swept that has AWS's form of a name, and nothing else.
func FuzzMessage(f *testing.F) {
	for _, body := range []string{
		`{"source":"aws.autoscaling","region":"ap-northeast-1"}`, `{"Event":"autoscaling:TEST_NOTIFICATION"}`,
		`{"LifecycleHookName":"up"}`, `{"source":"aws.ec2","region":""}`, "", "[", "null", `"x"`,
	} {
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body string) {
		kind, where := message(body)
		if where != "" && (kind != KindEvent || !region.MatchString(where)) {
			t.Errorf("%q is %s of %q", body, kind, where)
		}
	})
}

func FuzzParseQueue(f *testing.F) {
	f.Add("https://sqs.ap-northeast-1.amazonaws.com/123456789012/slipway")
	f.Add("eu-west-1=http://127.0.0.1:4566/000000000000/q")
	f.Fuzz(func(t *testing.T, text string) {
		if queue, err := ParseQueue(text); err == nil && (!region.MatchString(queue.Region) || queue.URL == "") {
			t.Errorf("%q is %+v", text, queue)
		}
	})
}
