// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package awstest

import (
	"encoding/xml"
	"time"
)

type assumeRoleResponse struct {
	XMLName xml.Name `xml:"https://sts.amazonaws.com/doc/2011-06-15/ AssumeRoleResponse"`
	Key     string   `xml:"AssumeRoleResult>Credentials>AccessKeyId"`
	Secret  string   `xml:"AssumeRoleResult>Credentials>SecretAccessKey"`
	Token   string   `xml:"AssumeRoleResult>Credentials>SessionToken"`
	Expires string   `xml:"AssumeRoleResult>Credentials>Expiration"`
	ARN     string   `xml:"AssumeRoleResult>AssumedRoleUser>Arn"`
	ID      string   `xml:"AssumeRoleResult>AssumedRoleUser>AssumedRoleId"`
}

// assumeRole gives a session of a role that was trusted, to whoever knows its external id.
func (c *Cloud) assumeRole(in *call) (any, *Refusal) {
	role, known := c.roles[in.form.Get("RoleArn")]
	if !known || role.ExternalID != in.form.Get("ExternalId") {
		return nil, &Refusal{403, "AccessDenied", "User is not authorized to perform: sts:AssumeRole on resource: " + in.form.Get("RoleArn")}
	}
	c.number++
	key := "ASIATEST" + itoa(c.number)
	c.sessions[key] = role.ARN
	return assumeRoleResponse{
		Key: key, Secret: SecretKey, Token: "session", Expires: time.Now().Add(time.Hour).UTC().Format(time.RFC3339),
		ARN: role.ARN + "/slipway", ID: "AROA:slipway",
	}, nil
}
