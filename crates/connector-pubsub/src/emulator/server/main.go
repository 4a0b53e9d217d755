// A server of Pub/Sub for development: that of Google's own tests of its clients, with the calls that clients make
// over HTTP and with permissions that can be taken away. It keeps everything in memory.
//
// Its first argument is the address to listen on; others only say whose it is.
// One port answers both kinds of calls, as that of a Pub/Sub emulator does: what begins as HTTP/2 is gRPC.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"

	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"cloud.google.com/go/pubsub/v2/pstest"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// Projects on which nobody has a permission.
type denied struct {
	mutex    sync.Mutex
	projects map[string]bool
}

func (d *denied) set(project string, to bool) {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	d.projects[project] = to
}

// The error of a call on something in one of these projects.
func (d *denied) check(name string) error {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	parts := strings.Split(name, "/")
	if len(parts) > 1 && d.projects[parts[1]] {
		return status.Errorf(codes.PermissionDenied, "User not authorized to perform this action on %s.", name)
	}
	return nil
}

// What a request is about.
func resource(message any) string {
	switch request := message.(type) {
	case interface{ GetSubscription() string }:
		return request.GetSubscription()
	case interface{ GetTopic() string }:
		return request.GetTopic()
	}
	return ""
}

type checkedStream struct {
	grpc.ServerStream
	denied *denied
}

func (s checkedStream) RecvMsg(message any) error {
	if err := s.ServerStream.RecvMsg(message); err != nil {
		return err
	}
	return s.denied.check(resource(message))
}

// Connections of one kind, as a listener.
type connections struct {
	address net.Addr
	waiting chan net.Conn
}

func (c connections) Accept() (net.Conn, error) {
	conn, open := <-c.waiting
	if !open {
		return nil, net.ErrClosed
	}
	return conn, nil
}

func (c connections) Close() error   { return nil }
func (c connections) Addr() net.Addr { return c.address }

// A connection whose first bytes were looked at.
type peeked struct {
	net.Conn
	reader *bufio.Reader
}

func (p peeked) Read(into []byte) (int, error) { return p.reader.Read(into) }

func sort(conn net.Conn, calls, requests chan net.Conn) {
	reader := bufio.NewReader(conn)
	first, err := reader.Peek(3)
	if err != nil {
		conn.Close()
		return
	}
	if string(first) == "PRI" {
		calls <- peeked{conn, reader}
	} else {
		requests <- peeked{conn, reader}
	}
}

type api struct {
	server *pstest.GServer
	denied *denied
}

func httpStatus(code codes.Code) int {
	switch code {
	case codes.NotFound:
		return http.StatusNotFound
	case codes.AlreadyExists, codes.Aborted:
		return http.StatusConflict
	case codes.InvalidArgument, codes.FailedPrecondition:
		return http.StatusBadRequest
	case codes.PermissionDenied:
		return http.StatusForbidden
	case codes.Unimplemented:
		return http.StatusNotImplemented
	}
	return http.StatusInternalServerError
}

// The names of codes that differ from those of Go.
var statusNames = map[codes.Code]string{
	codes.NotFound: "NOT_FOUND", codes.AlreadyExists: "ALREADY_EXISTS", codes.InvalidArgument: "INVALID_ARGUMENT",
	codes.FailedPrecondition: "FAILED_PRECONDITION", codes.PermissionDenied: "PERMISSION_DENIED",
	codes.Unimplemented: "UNIMPLEMENTED", codes.Aborted: "ABORTED",
}

func (a api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer, err := a.answer(r)
	w.Header().Set("Content-Type", "application/json")
	if err != nil {
		told := status.Convert(err)
		name, known := statusNames[told.Code()]
		if !known {
			name = "INTERNAL"
		}
		w.WriteHeader(httpStatus(told.Code()))
		body := map[string]any{"code": httpStatus(told.Code()), "message": told.Message(), "status": name}
		json.NewEncoder(w).Encode(map[string]any{"error": body})
		return
	}
	body, err := protojson.Marshal(answer)
	if err != nil {
		log.Print(err)
	}
	w.Write(append(body, '\n'))
}

func (a api) answer(r *http.Request) (proto.Message, error) {
	name, found := strings.CutPrefix(r.URL.Path, "/v1/")
	if !found {
		return nil, status.Errorf(codes.NotFound, "there is no %s", r.URL.Path)
	}
	// A connection that is closed with something unread in it may lose the answer.
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	name, verb, _ := strings.Cut(name, ":")
	if verb == "deny" || verb == "allow" {
		a.denied.set(strings.TrimPrefix(name, "projects/"), verb == "deny")
		return &pb.Topic{}, nil
	}
	if err := a.denied.check(name); err != nil {
		return nil, err
	}
	if strings.Contains(name, "/topics/") {
		return a.topic(r.Context(), r.Method+verb, name, body)
	}
	return a.subscription(r.Context(), r.Method+verb, name, body)
}

func read(body []byte, into proto.Message) error {
	if len(body) == 0 {
		return nil
	}
	if err := protojson.Unmarshal(body, into); err != nil {
		return status.Error(codes.InvalidArgument, err.Error())
	}
	return nil
}

func (a api) topic(ctx context.Context, call, name string, body []byte) (proto.Message, error) {
	switch call {
	case "PUT":
		topic := &pb.Topic{}
		if err := read(body, topic); err != nil {
			return nil, err
		}
		topic.Name = name
		return a.server.CreateTopic(ctx, topic)
	case "GET":
		return a.server.GetTopic(ctx, &pb.GetTopicRequest{Topic: name})
	case "DELETE":
		return a.server.DeleteTopic(ctx, &pb.DeleteTopicRequest{Topic: name})
	case "POSTpublish":
		request := &pb.PublishRequest{}
		if err := read(body, request); err != nil {
			return nil, err
		}
		request.Topic = name
		return a.server.Publish(ctx, request)
	}
	return nil, status.Errorf(codes.Unimplemented, "%s on a topic", call)
}

func (a api) subscription(ctx context.Context, call, name string, body []byte) (proto.Message, error) {
	switch call {
	case "PUT":
		subscription := &pb.Subscription{}
		if err := read(body, subscription); err != nil {
			return nil, err
		}
		subscription.Name = name
		return a.server.CreateSubscription(ctx, subscription)
	case "GET":
		return a.server.GetSubscription(ctx, &pb.GetSubscriptionRequest{Subscription: name})
	case "DELETE":
		return a.server.DeleteSubscription(ctx, &pb.DeleteSubscriptionRequest{Subscription: name})
	case "POSTpull":
		request := &pb.PullRequest{}
		if err := read(body, request); err != nil {
			return nil, err
		}
		request.Subscription = name
		return a.server.Pull(ctx, request)
	case "POSTmodifyAckDeadline":
		request := &pb.ModifyAckDeadlineRequest{}
		if err := read(body, request); err != nil {
			return nil, err
		}
		request.Subscription = name
		return a.server.ModifyAckDeadline(ctx, request)
	case "POSTacknowledge":
		request := &pb.AcknowledgeRequest{}
		if err := read(body, request); err != nil {
			return nil, err
		}
		request.Subscription = name
		return a.server.Acknowledge(ctx, request)
	}
	return nil, status.Errorf(codes.Unimplemented, "%s on a subscription", call)
}

func main() {
	listener, err := net.Listen("tcp", os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	denied := &denied{projects: map[string]bool{}}
	fake := pstest.NewServer()
	server := grpc.NewServer(
		grpc.MaxRecvMsgSize(32<<20),
		grpc.UnaryInterceptor(func(ctx context.Context, request any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
			if err := denied.check(resource(request)); err != nil {
				return nil, err
			}
			return next(ctx, request)
		}),
		grpc.StreamInterceptor(func(service any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) error {
			return next(service, checkedStream{stream, denied})
		}))
	pb.RegisterPublisherServer(server, &fake.GServer)
	pb.RegisterSubscriberServer(server, &fake.GServer)
	calls, requests := make(chan net.Conn), make(chan net.Conn)
	go func() { log.Fatal(server.Serve(connections{listener.Addr(), calls})) }()
	go func() {
		log.Fatal(http.Serve(connections{listener.Addr(), requests}, api{&fake.GServer, denied}))
	}()
	go func() {
		for {
			conn, err := listener.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			} else if err != nil {
				log.Fatal(err)
			}
			go sort(conn, calls, requests)
		}
	}()
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGTERM, syscall.SIGINT)
	<-ended
	listener.Close()
}
