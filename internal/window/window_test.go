// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package window_test

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/window"
)

func every(schedule string, d time.Duration) v1alpha1.Window {
	return v1alpha1.Window{Schedule: schedule, Duration: metav1.Duration{Duration: d}}
}

func TestClosed(t *testing.T) {
	office := every("0 10 * * MON-FRI", 7*time.Hour)
	lunch := every("0 12 * * *", time.Hour)
	lunch.Reason = "everybody eats"
	for name, c := range map[string]struct {
		windows      v1alpha1.Windows
		now, reopens string // RFC 3339; no reopens: it is open. "never" for never
		says         string
	}{
		"in the window":                        {v1alpha1.Windows{TimeZone: "Asia/Tokyo", Allow: []v1alpha1.Window{office}}, "2026-11-23T10:00:00+09:00", "", ""},
		"in its last second":                   {v1alpha1.Windows{TimeZone: "Asia/Tokyo", Allow: []v1alpha1.Window{office}}, "2026-11-23T16:59:59+09:00", "", ""},
		"just after it":                        {v1alpha1.Windows{TimeZone: "Asia/Tokyo", Allow: []v1alpha1.Window{office}}, "2026-11-23T17:00:00+09:00", "2026-11-24T10:00:00+09:00", "no window is open"},
		"over the weekend":                     {v1alpha1.Windows{TimeZone: "Asia/Tokyo", Allow: []v1alpha1.Window{office}}, "2026-11-27T18:00:00+09:00", "2026-11-30T10:00:00+09:00", "no window"},
		"the clock's zone is not the window's": {v1alpha1.Windows{TimeZone: "Asia/Tokyo", Allow: []v1alpha1.Window{office}}, "2026-11-23T01:30:00Z", "", ""},
		"UTC by default":                       {v1alpha1.Windows{Allow: []v1alpha1.Window{office}}, "2026-11-23T01:30:00Z", "2026-11-23T10:00:00Z", "no window"},
		"denied":                               {v1alpha1.Windows{Deny: []v1alpha1.Window{lunch}}, "2026-11-23T12:30:00Z", "2026-11-23T13:00:00Z", "denied now: everybody eats"},
		"denied at another time":               {v1alpha1.Windows{Deny: []v1alpha1.Window{lunch}}, "2026-11-23T11:30:00Z", "", ""},
		"denied within the allowed":            {v1alpha1.Windows{Allow: []v1alpha1.Window{office}, Deny: []v1alpha1.Window{lunch}}, "2026-11-23T12:00:00Z", "2026-11-23T13:00:00Z", "denied"},
		"denied until the allowed is over": {
			v1alpha1.Windows{Allow: []v1alpha1.Window{office}, Deny: []v1alpha1.Window{every("0 16 * * *", 4*time.Hour)}},
			"2026-11-23T16:30:00Z", "2026-11-24T10:00:00Z", "denied",
		},
		"through midnight":                    {v1alpha1.Windows{Allow: []v1alpha1.Window{every("0 22 * * *", 4*time.Hour)}}, "2026-11-23T01:59:00Z", "", ""},
		"windows that overlap":                {v1alpha1.Windows{Deny: []v1alpha1.Window{every("0 * * * *", 90*time.Minute)}}, "2026-11-23T01:59:00Z", "never", "denied"},
		"denied for ever":                     {v1alpha1.Windows{Deny: []v1alpha1.Window{every("* * * * *", time.Hour)}}, "2026-11-23T01:59:00Z", "never", "denied"},
		"a day that never comes":              {v1alpha1.Windows{Allow: []v1alpha1.Window{every("0 0 30 2 *", time.Hour)}}, "2026-11-23T01:59:00Z", "never", "no window"},
		"the hour that is left out in spring": {v1alpha1.Windows{TimeZone: "Europe/Berlin", Allow: []v1alpha1.Window{every("0 1 * * *", 2*time.Hour)}}, "2026-03-29T03:30:00+02:00", "", ""},
		"year's end":                          {v1alpha1.Windows{TimeZone: "Asia/Tokyo", Deny: []v1alpha1.Window{every("0 0 28 12 *", 8*24*time.Hour)}}, "2027-01-02T12:00:00+09:00", "2027-01-05T00:00:00+09:00", "denied"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			w, err := window.Parse(&c.windows)
			g.Expect(err).NotTo(HaveOccurred())
			now, err := time.Parse(time.RFC3339, c.now)
			g.Expect(err).NotTo(HaveOccurred())
			why, reopens := w.Closed(now)
			g.Expect(why).To(ContainSubstring(c.says))
			switch c.reopens {
			case "":
				g.Expect(why).To(BeEmpty())
			case "never":
				g.Expect(reopens.IsZero()).To(BeTrue(), reopens.String())
			default:
				want, err := time.Parse(time.RFC3339, c.reopens)
				g.Expect(err).NotTo(HaveOccurred())
				g.Expect(reopens).To(BeTemporally("==", want))
			}
		})
	}
}

func TestParse(t *testing.T) {
	g := NewWithT(t)
	w, err := window.Parse(nil)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(w.Closed(time.Unix(0, 0))).To(BeEmpty())
	for says, spec := range map[string]v1alpha1.Windows{
		`there is no time zone "Asia/Tokio"`: {TimeZone: "Asia/Tokio"},
		`there is no time zone "Local"`:      {TimeZone: "Local"},
		"windows.allow[0].schedule":          {Allow: []v1alpha1.Window{every("61 0 * * *", time.Hour)}},
		"windows.deny[1].schedule":           {Deny: []v1alpha1.Window{every("0 0 * * *", time.Hour), every("0 9-5 * * *", time.Hour)}},
	} {
		_, err := window.Parse(&spec)
		g.Expect(err).To(MatchError(ContainSubstring(says)))
	}
}

func FuzzParse(f *testing.F) {
	f.Add("0 10 * * MON-FRI", "Asia/Tokyo", int64(3600))
	f.Add("TZ=", "UTC", int64(60))
	f.Add("@every 1h", "UTC", int64(60))
	f.Add("*/5 0-23/2 ? JAN,DEC SUN", "UTC", int64(60))
	f.Fuzz(func(t *testing.T, schedule, zone string, seconds int64) {
		spec := &v1alpha1.Windows{TimeZone: zone, Allow: []v1alpha1.Window{every(schedule, time.Duration(seconds%86400)*time.Second)}}
		w, err := window.Parse(spec)
		if err != nil {
			return
		}
		now := time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)
		if why, reopens := w.Closed(now); why != "" && !reopens.IsZero() && !reopens.After(now) {
			t.Errorf("%q in %q is closed until %s", schedule, zone, reopens)
		}
	})
}
