package main

import (
	"log"
	"runtime"

	"github.com/gomodule/redigo/redis"
)

const waiting = 4096 // calls on their way; more wait for room

// call is a group of commands that one request sends together.
type call struct {
	commands []command
	replies  []reply
	done     chan struct{}
}

type command struct {
	name      string
	arguments []interface{}
}

type reply struct {
	value interface{}
	err   error
}

// pipeline lets all requests share one connection: redigo allows one goroutine to Send and Flush while another
// Receives. What is asked while others are being served goes out in one write, and comes back in few reads:
// it takes far less CPU time than a pool with a connection for each request.
type pipeline struct {
	connection redis.Conn
	asked      chan *call
	sent       chan *call
}

func startPipeline(connection redis.Conn) *pipeline {
	p := &pipeline{connection, make(chan *call, waiting), make(chan *call, waiting)}
	go p.send()
	go p.receive()
	return p
}

// do returns when all replies of the call are there.
func (p *pipeline) do(c *call) {
	p.asked <- c
	<-c.done
}

func (p *pipeline) send() {
	for {
		p.write(<-p.asked)
		// Let goroutines that are ready add their commands first.
		runtime.Gosched()
		for more := true; more; {
			select {
			case c := <-p.asked:
				p.write(c)
			default:
				more = false
			}
		}
		if err := p.connection.Flush(); err != nil {
			log.Fatal(err)
		}
	}
}

func (p *pipeline) write(c *call) {
	for i := range c.commands {
		if err := p.connection.Send(c.commands[i].name, c.commands[i].arguments...); err != nil {
			log.Fatal(err)
		}
	}
	p.sent <- c
}

func (p *pipeline) receive() {
	for c := range p.sent {
		for range c.commands {
			value, err := p.connection.Receive()
			if p.connection.Err() != nil {
				log.Fatal(err)
			}
			c.replies = append(c.replies, reply{value, err})
		}
		c.done <- struct{}{}
	}
}

func newCall() *call { return &call{done: make(chan struct{}, 1)} }

func (c *call) reset() {
	c.commands, c.replies = c.commands[:0], c.replies[:0]
}

func (c *call) size() int { return len(c.commands) }

func (c *call) add(name string, arguments ...interface{}) {
	next := c.grow(name)
	next.arguments = append(next.arguments, arguments...)
}

func (c *call) addAll(name string, keys [][]byte) {
	next := c.grow(name)
	for _, key := range keys {
		next.arguments = append(next.arguments, key)
	}
}

// grow appends a command that keeps the argument slice of the one that was there before.
func (c *call) grow(name string) *command {
	if len(c.commands) < cap(c.commands) {
		c.commands = c.commands[:len(c.commands)+1]
	} else {
		c.commands = append(c.commands, command{})
	}
	next := &c.commands[len(c.commands)-1]
	next.name, next.arguments = name, next.arguments[:0]
	return next
}

func (c *call) reply(index int) (interface{}, error) {
	return c.replies[index].value, c.replies[index].err
}
