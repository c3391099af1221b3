// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"bytes"
	"os/exec"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
)

// carried runs the command with a script that prints one value, in place of the real one.
func carried(t *testing.T, shell string, stdin []byte) string {
	t.Helper()
	args := append(strings.Fields(shell), "-c", strings.Replace(command, "exec sh", "exec "+shell, 1))
	run := exec.Command(args[0], args[1:]...)
	run.Stdin = bytes.NewReader(stdin)
	out, err := run.CombinedOutput()
	NewWithT(t).Expect(err).NotTo(HaveOccurred(), string(out))
	return string(out)
}

// Values reach the script byte for byte, whatever is in them, and the script is read whole before it runs.
func TestCarry(t *testing.T) {
	real := script
	t.Cleanup(func() { script = real })
	values, err := scripts.ReadFile("script/values.sh")
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	script = string(values) + "\ncat\nprintf '[%s]' \"$v_path\"\n"
	for _, shell := range []string{"dash", "bash", "busybox ash"} {
		for _, value := range []string{
			"", "plain", "two\nlines", "\n\n", "end 0", "a\nend 0\nb", "$(id) `id` \\ \\n ' \" * ~ ! #", " lead and trail ", "-n", "ü\x01\x7f\t",
		} {
			stdin, err := load([][2]string{{"timeout", "5"}, {"path", value}})
			NewWithT(t).Expect(err).NotTo(HaveOccurred())
			NewWithT(t).Expect(carried(t, shell, stdin)).To(Equal("["+value+"]"), shell)
		}
	}
	_, err = load([][2]string{{"path", "a\x00b"}})
	NewWithT(t).Expect(err).To(MatchError(ContainSubstring("NUL")))
}

// A stream that is cut off runs nothing: neither half a script, nor a script with half of its values.
func TestCarryCutOff(t *testing.T) {
	real := script
	t.Cleanup(func() { script = real })
	values, err := scripts.ReadFile("script/values.sh")
	g := NewWithT(t)
	g.Expect(err).NotTo(HaveOccurred())
	script = string(values) + "\necho ran\n"
	whole, err := load([][2]string{{"timeout", "5"}, {"path", "a\nb"}})
	g.Expect(err).NotTo(HaveOccurred())
	for length := 0; length < len(whole); length += 1 + len(whole)/60 {
		run := exec.Command("dash", "-c", command)
		run.Stdin = bytes.NewReader(whole[:length])
		out, err := run.CombinedOutput()
		g.Expect(err).To(HaveOccurred())
		g.Expect(string(out)).NotTo(ContainSubstring("ran"))
	}
}

func TestCommandIsForAnyLoginShell(t *testing.T) {
	g := NewWithT(t)
	g.Expect(command).NotTo(ContainSubstring("\n"))
	g.Expect(strings.Count(command, "'")).To(Equal(2), "one pair of quotes, which sh, csh and fish read alike")
	g.Expect(command).NotTo(ContainSubstring("!"), "csh expands it")
}
