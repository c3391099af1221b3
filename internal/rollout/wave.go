// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package rollout

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/conditions"
)

// NewWave records a plan's members under a number.
func NewWave(number int64, plan Plan) *v1alpha1.Wave {
	wave := &v1alpha1.Wave{Number: number, Reason: conditions.Shorten(plan.Reason, 1024)}
	for _, member := range plan.Members {
		index := indexOf(wave.Records, &member.Record)
		if index < 0 {
			index = len(wave.Records)
			wave.Records = append(wave.Records, member.Record)
		}
		wave.Members = append(wave.Members, v1alpha1.WaveMember{
			Target: member.Target, UID: member.UID, Record: int32(index), Fence: member.Fence, AsIs: member.AsIs,
		})
	}
	wave.Hash = hash(wave)
	return wave
}

// hash of the members: their names, what each should run, and its fence.
func hash(wave *v1alpha1.Wave) string {
	sum := sha256.New()
	for _, member := range wave.Members {
		record := wave.Records[member.Record]
		fmt.Fprintf(sum, "%s\x00%s\x00%s\x00%d", member.Target, record.Digest, record.Frozen, member.Fence)
		if member.AsIs {
			sum.Write([]byte("\x00as is"))
		}
		sum.Write([]byte("\n"))
	}
	return hex.EncodeToString(sum.Sum(nil))[:16]
}

// Write is one member of a wave whose Target does not show its order yet.
type Write struct {
	// Index of the Target in the list that was given.
	Index  int
	Record v1alpha1.ReleaseRecord
	Fence  int64
	AsIs   bool
	Wave   int64
}

// Missing lists the members of a recorded wave that are not among the Targets: they are gone, or a stale cache does not
// show them yet. Which of the two must be known before another wave is planned, for those hosts count.
func Missing(wave *v1alpha1.Wave, targets []v1alpha1.Target) []v1alpha1.WaveMember {
	if wave == nil {
		return nil
	}
	there := byName(targets)
	var missing []v1alpha1.WaveMember
	for _, member := range wave.Members {
		if i, is := there[member.Target]; !is || !IsMember(member, &targets[i]) {
			missing = append(missing, member)
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
	there := byName(targets)
	var writes []Write
	for _, member := range wave.Members {
		i, is := there[member.Target]
		if !is || !IsMember(member, &targets[i]) || targets[i].Spec.Fence >= member.Fence || int(member.Record) >= len(wave.Records) {
			continue
		}
		writes = append(writes, Write{Index: i, Record: wave.Records[member.Record], Fence: member.Fence, AsIs: member.AsIs, Wave: wave.Number})
	}
	return writes
}

// IsMember says whether an object is the Target that a member names, and none that was made anew under its name: such a
// one is new, and what an earlier wave ordered is nothing to it. A wave of before members had a UID goes by the name.
func IsMember(member v1alpha1.WaveMember, object metav1.Object) bool {
	return object.GetName() == member.Target && (member.UID == "" || member.UID == v1alpha1.UID(object.GetUID()))
}

// byName indexes Targets.
func byName(targets []v1alpha1.Target) map[string]int {
	index := make(map[string]int, len(targets))
	for i := range targets {
		index[targets[i].Name] = i
	}
	return index
}
