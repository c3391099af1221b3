// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"text/template"
	"text/template/parse"
)

// maxText bounds what a template makes.
const maxText = 16 << 10

// functions are all that templates may call, besides comparisons and logic.
var functions = template.FuncMap{
	// json writes a value as JSON, quotes included.
	"json": func(value any) (string, error) {
		var b bytes.Buffer
		encoder := json.NewEncoder(&b)
		encoder.SetEscapeHTML(false)
		err := encoder.Encode(value)
		return string(bytes.TrimRight(b.Bytes(), "\n")), err
	},
	// find is the first match of a pattern (RE2) in a text, or its first group; empty if there is none.
	"find": func(pattern, text string) (string, error) {
		if len(pattern) > 256 {
			return "", errors.New("the pattern is too long")
		}
		expression, err := regexp.Compile(pattern)
		if err != nil {
			return "", err
		}
		switch found := expression.FindStringSubmatch(text); {
		case len(found) == 0:
			return "", nil
		case len(found) > 1:
			return found[1], nil
		default:
			return found[0], nil
		}
	},
}

var allowed = map[string]bool{"json": true, "find": true, "and": true, "or": true, "not": true, "eq": true, "ne": true, "lt": true, "le": true, "gt": true, "ge": true}

// render fills a template. It can't loop, recurse or call anything but the functions above, so that it always ends soon.
func render(text string, m Message) (string, error) {
	t, err := template.New("template").Option("missingkey=error").Funcs(functions).Parse(text)
	if err != nil {
		return "", err
	}
	if len(t.Templates()) > 1 {
		return "", errors.New("template: no other templates may be defined")
	}
	if t.Tree != nil {
		if err := tame(t.Root); err != nil {
			return "", err
		}
	}
	out := limited{room: maxText}
	if err := t.Execute(&out, m); err != nil {
		return "", err
	}
	return out.String(), nil
}

// tame refuses what could run for ever, or grow without bounds.
func tame(node parse.Node) error {
	var inner []parse.Node
	switch n := node.(type) {
	case *parse.ListNode:
		if n != nil {
			inner = n.Nodes
		}
	case *parse.ActionNode:
		inner = []parse.Node{n.Pipe}
	case *parse.PipeNode:
		if n != nil {
			for _, c := range n.Cmds {
				inner = append(inner, c)
			}
		}
	case *parse.CommandNode:
		inner = n.Args
	case *parse.IfNode:
		inner = []parse.Node{n.Pipe, n.List, n.ElseList}
	case *parse.WithNode:
		inner = []parse.Node{n.Pipe, n.List, n.ElseList}
	case *parse.ChainNode:
		inner = []parse.Node{n.Node}
	case *parse.IdentifierNode:
		if !allowed[n.Ident] {
			return fmt.Errorf("template: the function %q is not allowed here: json, find, and, or, not, eq, ne, lt, le, gt and ge are", n.Ident)
		}
	case *parse.TextNode, *parse.CommentNode, *parse.FieldNode, *parse.VariableNode, *parse.DotNode, *parse.NilNode, *parse.StringNode, *parse.NumberNode, *parse.BoolNode:
	default:
		return fmt.Errorf("template: %q is not allowed here: only values, if and with are", node)
	}
	for _, n := range inner {
		if err := tame(n); err != nil {
			return err
		}
	}
	return nil
}

// limited takes so many bytes and no more.
type limited struct {
	bytes.Buffer
	room int
}

func (l *limited) Write(data []byte) (int, error) {
	if l.Len()+len(data) > l.room {
		return 0, fmt.Errorf("the template makes more than %d bytes", l.room)
	}
	return l.Buffer.Write(data)
}
