// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package rollout

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/slipway-dev/slipway/api/v1alpha1"
)

// NewWave records a plan's members under a number.
func NewWave(number int64, plan Plan) *v1alpha1.Wave {
	wave := &v1alpha1.Wave{Number: number, Reason: shorten(plan.Reason, 1024)}
	for _, member := range plan.Members {
		index := indexOf(wave.Records, &member.Record)
		if index < 0 {
			index = len(wave.Records)
			wave.Records = append(wave.Records, member.Record)
		}
		wave.Members = append(wave.Members, v1alpha1.WaveMember{Target: member.Target, Record: int32(index), Fence: member.Fence})
	}
	wave.Hash = hash(wave)
	return wave
}

// hash of the members: their names, what each should run, and its fence.
func hash(wave *v1alpha1.Wave) string {
	sum := sha256.New()
	for _, member := range wave.Members {
		record := wave.Records[member.Record]
		fmt.Fprintf(sum, "%s\x00%s\x00%s\x00%d\n", member.Target, record.Digest, record.Frozen, member.Fence)
	}
	return hex.EncodeToString(sum.Sum(nil))[:16]
}

// Write is one member of a wave whose Target does not show its order yet.
type Write struct {
	// Index of the Target in the list that was given.
	Index  int
	Record v1alpha1.ReleaseRecord
	Fence  int64
	Wave   int64
}

// Missing lists the members of a recorded wave that are not among the Targets: they are gone, or a stale cache does not
// show them yet. Which of the two must be known before another wave is planned, for those hosts count.
func Missing(wave *v1alpha1.Wave, targets []v1alpha1.Target) []string {
	if wave == nil {
		return nil
	}
	there := make(map[string]bool, len(targets))
	for i := range targets {
		there[targets[i].Name] = true
	}
	var missing []string
	for _, member := range wave.Members {
		if !there[member.Target] {
			missing = append(missing, member.Target)
		}
	}
	return missing
}

// Unwritten lists the members of a recorded wave whose Targets do not show the order. A Target that is missing is none
// of them; one with a higher fence has had its order. Only when the list is empty may another wave be planned.
func Unwritten(wave *v1alpha1.Wave, targets []v1alpha1.Target) []Write {
	if wave == nil {
		return nil
	}
	index := make(map[string]int, len(targets))
	for i := range targets {
		index[targets[i].Name] = i
	}
	var writes []Write
	for _, member := range wave.Members {
		i, there := index[member.Target]
		if !there || targets[i].Spec.Fence >= member.Fence || int(member.Record) >= len(wave.Records) {
			continue
		}
		writes = append(writes, Write{Index: i, Record: wave.Records[member.Record], Fence: member.Fence, Wave: wave.Number})
	}
	return writes
}

func shorten(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	return text[:limit-3] + "..."
}
