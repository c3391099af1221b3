// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package boot

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/slipway-dev/slipway/internal/depot"
	"github.com/slipway-dev/slipway/internal/discovery"
	"github.com/slipway-dev/slipway/internal/identity"
)

// youngest is how long after its launch an instance may bind itself for the first time. An identity document says nothing
// of who shows it, nor to whom: what was copied from an instance is worth nothing later than this.
const youngest = 15 * time.Minute

// ErrNotBound says that an instance may not be bound to the key that it shows.
var ErrNotBound = errors.New("this host is not who it says")

// Evidence is what is known of an instance that says who it is.
type Evidence struct {
	// Document was signed by AWS; Instance is what EC2 says at this moment.
	Document identity.Document
	Instance discovery.Instance
	// Key that the host proved to hold.
	Key ssh.PublicKey
	// Pins are what the manager knows the host by: keys in authorized_keys format, or fingerprints that a person named.
	Pins []string
	// Bound is the instance's binding; the zero Binding if it has none. Other is an instance that has the same key, or "".
	Bound depot.Binding
	Other string
	Now   time.Time
}

// Check decides whether the instance is bound to the key.
func (e *Evidence) Check() error {
	fingerprint := ssh.FingerprintSHA256(e.Key)
	refuse := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s", ErrNotBound, fmt.Sprintf(format, args...))
	}
	if err := e.same(); err != nil {
		return refuse("%v", err)
	}
	if e.Other != "" {
		return refuse("its SSH host key %s is that of %s. Two hosts have one key when an image holds it: let cloud-init make new ones (ssh_deletekeys)",
			fingerprint, e.Other)
	}
	pinned := false
	for _, pin := range e.Pins {
		if !SameKey(pin, e.Key) {
			return refuse("its Target is pinned to another host key than %s. If the host's key was really replaced, re-pin the Target", fingerprint)
		}
		pinned = true
	}
	switch age := e.Now.Sub(e.Document.PendingTime); {
	case pinned, e.Bound.HostKey != "" && SameKey(e.Bound.HostKey, e.Key):
		return nil
	case e.Bound.HostKey != "":
		return refuse("it was bound to another host key than %s before. If the host's key was really replaced, re-pin its Target", fingerprint)
	case age > youngest:
		return refuse("it was started %s ago, and binds itself for the first time: that is possible for %s. Reboot does not count; "+
			"re-pin its Target, or replace the instance", age.Round(time.Second), youngest)
	}
	return nil
}

// same says whether the document speaks of the instance that EC2 describes.
func (e *Evidence) same() error {
	d, i := &e.Document, &e.Instance
	switch {
	case d.InstanceID != i.ID:
		return fmt.Errorf("the identity document is that of %s", d.InstanceID)
	case d.AccountID != i.Account:
		return fmt.Errorf("the identity document is of account %s, EC2 says %s", d.AccountID, i.Account)
	case i.State != discovery.Running && i.State != discovery.Pending:
		return fmt.Errorf("EC2 says that %s is %s", i.ID, i.State)
	case d.PrivateIP != i.PrivateIP:
		return fmt.Errorf("the identity document has the private address %s, EC2 says %s", d.PrivateIP, i.PrivateIP)
	}
	return nil
}

// SameKey says whether a pin, a key in authorized_keys format or a SHA256 fingerprint, is a key's.
func SameKey(pin string, key ssh.PublicKey) bool {
	if pin == ssh.FingerprintSHA256(key) {
		return true
	}
	pinned, _, _, _, err := ssh.ParseAuthorizedKey([]byte(pin))
	return err == nil && string(pinned.Marshal()) == string(key.Marshal())
}
