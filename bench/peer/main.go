// The server of the benchmarks: Go's own HTTP server with constant responses, so that the client is what is measured.
//
// It serves gRPC, Connect, REST and completions on one port, over HTTP/1.1 and HTTP/2 without TLS, and prints that port.
package main

import (
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"
)

var (
	bodies  = flag.String("bodies", ".", "folder of the responses")
	delay   = flag.Duration("delay", 0, "how long an answer takes")
	streams = flag.Int("streams", 250, "streams allowed on a connection")
	events  = flag.Int("events", 500, "events of a streamed completion")
	list    = flag.String("list", "list.bin", "answer of ListDeployments")
)

var connections atomic.Int64

func read(name string) []byte {
	body, err := os.ReadFile(filepath.Join(*bodies, name))
	if err != nil {
		log.Fatal(err)
	}
	return body
}

func framed(body []byte) []byte {
	head := make([]byte, 5)
	binary.BigEndian.PutUint32(head[1:], uint32(len(body)))
	return append(head, body...)
}

// rpc responds to gRPC and Connect alike.
func rpc(body []byte) http.HandlerFunc {
	grpc := framed(body)
	return func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		time.Sleep(*delay)
		if strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc") {
			w.Header().Set("Content-Type", "application/grpc")
			w.Header().Set("Trailer", "Grpc-Status")
			w.Write(grpc)
			w.Header().Set("Grpc-Status", "0")
			return
		}
		w.Header().Set("Content-Type", "application/proto")
		w.Write(body)
	}
}

func static(kind string, body []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		time.Sleep(*delay)
		w.Header().Set("Content-Type", kind)
		w.Write(body)
	}
}

// completion responds with a whole completion, or with a stream when the request asks for one: at once, or an event every `pause`.
func completion(whole, event []byte, pause time.Duration) http.HandlerFunc {
	line := append(append([]byte("data: "), event...), "\n\n"...)
	burst := []byte(strings.Repeat(string(line), *events) + "data: [DONE]\n\n")
	return func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if !strings.Contains(string(body), `"stream":true`) && !strings.Contains(string(body), `"stream": true`) {
			time.Sleep(*delay)
			w.Header().Set("Content-Type", "application/json")
			w.Write(whole)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		if pause == 0 {
			w.Write(burst)
			return
		}
		for i := 0; i < *events; i++ {
			w.Write(line)
			w.(http.Flusher).Flush()
			time.Sleep(pause)
		}
		io.WriteString(w, "data: [DONE]\n\n")
	}
}

func main() {
	flag.Parse()
	mux := http.NewServeMux()
	const service = "/coreweave.inference.v1alpha1.DeploymentService/"
	mux.HandleFunc("POST "+service+"GetDeployment", rpc(read("get.bin")))
	mux.HandleFunc("POST "+service+"ListDeployments", rpc(read(*list)))
	mux.HandleFunc("GET /v1alpha1/inference/deployments/{id}", static("application/json", read("get.json")))
	mux.HandleFunc("GET /v1alpha1/inference/deployments", static("application/json", read("list.json")))
	mux.HandleFunc("GET /connections", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, connections.Swap(0))
	})
	whole, event := read("completion.json"), read("event.json")
	mux.HandleFunc("POST /burst/v1/chat/completions", completion(whole, event, 0))
	mux.HandleFunc("POST /single/v1/chat/completions", completion(whole, event, 2*time.Millisecond))

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	server := &http.Server{
		Handler:   mux,
		Protocols: protocols,
		HTTP2:     &http.HTTP2Config{MaxConcurrentStreams: *streams},
		ConnState: func(_ net.Conn, state http.ConnState) {
			if state == http.StateNew {
				connections.Add(1)
			}
		},
	}
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	log.Fatal(server.Serve(listener))
}
