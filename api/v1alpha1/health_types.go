// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// ConditionHealthy of a Target says whether the release that is live on the host is well, as deploy.healthCheck asks it:
// Unknown until it is known, and absent where there is no check. While it is not True, Available is not True either.
const ConditionHealthy = "Healthy"

// Reasons of a Target's health.
const (
	// ReasonHealthy says that the health check succeeded.
	ReasonHealthy = "Healthy"
	// ReasonUnhealthy says that the health check failed; the message says what was seen instead.
	ReasonUnhealthy = "Unhealthy"
	// ReasonCheckingHealth says that the health check has come to no verdict yet.
	ReasonCheckingHealth = "CheckingHealth"
	// ReasonForwardingRefused says that the host's sshd lets nobody reach the port of the health check.
	ReasonForwardingRefused = "ForwardingRefused"
)

// StepHealth is the last step of a delivery to a host whose Service has a health check.
const StepHealth = "Health"

// HealthCheck says how it is found out whether the release that is live on a host works. The question is asked on the
// host itself, through the SSH connection that deliveries use, so that no port needs to be open and no agent is needed.
// +kubebuilder:validation:ExactlyOneOf=http;tcp;command
type HealthCheck struct {
	// HTTP sends a GET request to a port of the host.
	// +optional
	HTTP *HTTPCheck `json:"http,omitempty"`
	// TCP connects to a port of the host.
	// +optional
	TCP *TCPCheck `json:"tcp,omitempty"`
	// Command is an argv that runs on the host as ssh.user in the live release's directory; no shell reads it. The host is
	// healthy when it ends with 0 within the timeout. It reads nothing, and is killed with all it started when the time is
	// over; of what it prints the first 4 KiB are kept.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=1024
	// +kubebuilder:validation:items:Pattern=`^[^\x00-\x1f\x7f]+$`
	Command []string `json:"command,omitempty"`
	// Interval between two looks. Default 5s.
	// +optional
	// +kubebuilder:default="5s"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1s') && duration(self) <= duration('5m')",message="must be between 1s and 5m"
	Interval metav1.Duration `json:"interval,omitzero"`
	// Timeout of one look. Default 5s.
	// +optional
	// +kubebuilder:default="5s"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1s') && duration(self) <= duration('1m')",message="must be between 1s and 1m"
	Timeout metav1.Duration `json:"timeout,omitzero"`
	// SuccessThreshold is how many looks in a row must succeed before the host is healthy. Default 1.
	// +optional
	// +kubebuilder:default=1
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=20
	SuccessThreshold int32 `json:"successThreshold,omitempty"`
	// FailureThreshold is how many looks in a row must fail before the host is unhealthy. Default 3.
	// +optional
	// +kubebuilder:default=3
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=20
	FailureThreshold int32 `json:"failureThreshold,omitempty"`
	// StartupGrace is how long after a switch failures do not count. The first success ends it. Default 30s.
	// +optional
	// +kubebuilder:default="30s"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('0s') && duration(self) <= duration('15m')",message="must be between 0s and 15m"
	StartupGrace *metav1.Duration `json:"startupGrace,omitempty"`
}

// HTTPScheme is how a health check speaks to its port.
// +kubebuilder:validation:Enum=HTTP;HTTPS
type HTTPScheme string

const (
	// SchemeHTTP is HTTP without encryption.
	SchemeHTTP HTTPScheme = "HTTP"
	// SchemeHTTPS is HTTP over TLS.
	SchemeHTTPS HTTPScheme = "HTTPS"
)

// StatusRange is a code of an HTTP response, such as "204", or a range of them with both ends, such as "200-399".
// +kubebuilder:validation:MinLength=3
// +kubebuilder:validation:MaxLength=7
// +kubebuilder:validation:XValidation:rule="self.matches('^[1-5][0-9]{2}$') || self.matches('^[1-5][0-9]{2}-[1-5][0-9]{2}$') && self.substring(0, 3) <= self.substring(4)",message="must be a code from 100 to 599, such as 204, or a range of them, the lower first, such as 200-399"
type StatusRange string

// HTTPCheck is one GET request over HTTP/1.1 to 127.0.0.1 on the host. Redirects are not followed.
// +kubebuilder:validation:XValidation:rule="!has(self.tls) || has(self.scheme) && self.scheme == 'HTTPS'",message="tls needs scheme HTTPS"
type HTTPCheck struct {
	// Port on the host.
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	Port int32 `json:"port"`
	// Path of the request, with its query if it has one. Default /.
	// +optional
	// +kubebuilder:default="/"
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule="self.matches('^/([!-\"$&-~]|%[0-9A-Fa-f]{2})*$')",message="must begin with '/' and hold only printable ASCII characters, the others in the form %C3%BC, and no '#'"
	Path string `json:"path,omitempty"`
	// Scheme is HTTP or HTTPS. Default HTTP.
	// +optional
	// +kubebuilder:default=HTTP
	Scheme HTTPScheme `json:"scheme,omitempty"`
	// Host is the name that is asked for: the Host header, and with HTTPS the name that the certificate must have. Default:
	// the host's address.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-zA-Z0-9]([a-zA-Z0-9._-]*[a-zA-Z0-9])?$`
	Host string `json:"host,omitempty"`
	// Status lists the codes of the response that are well. Default 200-399.
	// +optional
	// +listType=set
	// +kubebuilder:default={"200-399"}
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	Status []StatusRange `json:"status,omitempty"`
	// Body is a text that the first 64 KiB of the response must hold. Default: the response's body is not looked at.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:Pattern=`^[^\x00-\x1f\x7f]*$`
	Body string `json:"body,omitempty"`
	// TLS says how the certificate is verified. Default: for host, by the authorities that the manager's image trusts.
	// +optional
	TLS *CheckTLS `json:"tls,omitempty"`
}

// TLSVerification says what becomes of a certificate.
// +kubebuilder:validation:Enum=Full;None
type TLSVerification string

const (
	// TLSVerifyFull verifies name, time and authority.
	TLSVerifyFull TLSVerification = "Full"
	// TLSVerifyNone takes any certificate. The request does not leave the host, so that only the application's own view of
	// its certificate goes unchecked.
	TLSVerifyNone TLSVerification = "None"
)

// CheckTLS says how the certificate of a health check's server is verified.
// +kubebuilder:validation:XValidation:rule="!has(self.caConfigMapRef) || !has(self.verify) || self.verify == 'Full'",message="a certificate that is not verified needs no authority: leave out caConfigMapRef, or set verify to Full"
type CheckTLS struct {
	// Verify is Full or None. Default Full.
	// +optional
	// +kubebuilder:default=Full
	Verify TLSVerification `json:"verify,omitempty"`
	// CAConfigMapRef names a ConfigMap of this namespace whose key "ca.crt" holds the authorities in PEM.
	// +optional
	CAConfigMapRef *LocalReference `json:"caConfigMapRef,omitempty"`
}

// TCPCheck connects to 127.0.0.1 on the host and sends nothing.
type TCPCheck struct {
	// Port on the host.
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	Port int32 `json:"port"`
}
