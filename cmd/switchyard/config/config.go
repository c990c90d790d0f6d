// Package config is the server's configuration: one struct, from which the file format, the environment variables, the
// defaults, the checks and the documentation are all derived.
//
// A value comes from the first of: a flag, an environment variable (SWITCHYARD_ and the path in capitals, with _ for each
// dot), the YAML file, the default. Load reports every problem at once, each with its place, what is allowed and a remedy.
// It is called once at start, by cmd; the parts of the server get their own structs and know nothing of this one.
package config

// Config is the whole configuration. A field's tags are its name in the file, its default in the file's spelling, its
// bounds or choices, and the sentence that documents it. Lists have no default; a section has only a name and a sentence.
type Config struct {
	Server        Server        `name:"server" doc:"The address that clients connect to, and how connections are taken and drained."`
	Admin         Admin         `name:"admin" doc:"The address for operators: metrics, health and profiles. It has no access control, so keep it private."`
	API           API           `name:"api" doc:"The address for applications: conversations, messages, history, search and reports over HTTP, for those who have a key or a token. TLS ends in front, as for clients."`
	Websocket     Websocket     `name:"websocket" doc:"Limits and deadlines of each connection."`
	Limits        Limits        `name:"limits" doc:"How much the server takes from its peers. What exceeds a rate waits or is told to come back; nothing that was accepted is lost."`
	Reconnect     Reconnect     `name:"reconnect" doc:"What clients are told about coming back after a lost connection. The first try is at once."`
	Auth          Auth          `name:"auth" doc:"Who may connect."`
	Store         Store         `name:"store" doc:"The journal and the history on the local disk."`
	History       History       `name:"history" doc:"The history in ClickHouse. Without history.clickhouse the store on the disk is the history, for store.retention."`
	Notify        Notify        `name:"notify" doc:"Who is told of what happens, by webhooks. What they do not take waits on the disk, and delays nothing."`
	Conversations Conversations `name:"conversations" doc:"The message center: order, deduplication, replay."`
	Routing       Routing       `name:"routing" doc:"How conversations find agents."`
	Overload      Overload      `name:"overload" doc:"What is given up under pressure: typing first, then presence, history, new connections; messages only when they would wait too long."`
	Pools         Pools         `name:"pools" doc:"Bounded pools for work that may block, one for each class, so that none starves another."`
	Log           Log           `name:"log" doc:"Logs go to standard error."`
}

// Server is the listener.
type Server struct {
	ID               string   `name:"id" doc:"The name of this server in answers and logs. Empty: the host name."`
	Node             int      `name:"node" default:"0" min:"0" max:"1023" doc:"This node's number in connection ids."`
	Listen           Address  `name:"listen" default:"127.0.0.1:8080" doc:"IP address and port for clients; without an address, every interface."`
	ReusePort        bool     `name:"reuse_port" default:"false" doc:"Lets several server processes of one user listen on the same address (SO_REUSEPORT); the kernel deals the connections out. Each needs this option, and a store of its own."`
	Loops            int      `name:"loops" default:"0" min:"0" max:"63" doc:"Event loops. 0: half of the processors."`
	MaxConnections   int      `name:"max_connections" default:"1000000" min:"1" max:"16000000" doc:"Further connections are answered 503."`
	AllowedOrigins   []string `name:"allowed_origins" doc:"Browser origins that may connect besides the server's own host, such as https://www.example.com or https://*.example.com; \"*\" allows all and is dangerous."`
	ProxyProtocol    string   `name:"proxy_protocol" default:"off" one_of:"off mixed required" doc:"Which connections begin with a PROXY protocol header (version 1 or 2), which names the client. off: none. mixed: those from server.proxy_networks must, all others are clients themselves. required: the same, and all others are refused."`
	ProxyNetworks    []string `name:"proxy_networks" doc:"The proxies that send it, as addresses or networks such as 10.0.1.5, 10.0.0.0/8 or fd00::/8. Whoever is in one can name any client address, so list nothing else."`
	HandshakeTimeout Duration `name:"handshake_timeout" default:"10s" min:"1s" max:"5m" doc:"From accept to a complete upgrade request."`
	UserTimeout      Duration `name:"user_timeout" default:"30s" min:"0s" max:"1h" doc:"TCP_USER_TIMEOUT: the kernel ends a connection whose peer acknowledges nothing of what was sent, or takes nothing, for this long. 0s: the kernel decides, which takes about 15 minutes. Behind a proxy it concerns the proxy."`
	MaxHeader        Size     `name:"max_header" default:"8KiB" min:"1KiB" max:"64KiB" doc:"Bytes of the upgrade request; larger ones are answered 431."`
	DrainTimeout     Duration `name:"drain_timeout" default:"20s" min:"0s" max:"1h" doc:"After SIGTERM, how long the connections have to take what is waiting for them and to leave."`
	LameDuckDelay    Duration `name:"lame_duck_delay" default:"10s" min:"0s" max:"1h" doc:"After SIGUSR2, how long the server is not ready but takes connections as ever, so that load balancers have time to send new clients elsewhere."`
	DrainTime        Duration `name:"drain_time" default:"2m" min:"1s" max:"24h" doc:"After that, over how long the clients leave: each gets a slot of its own, evenly spread, and is served until then."`
	UpgradeTimeout   Duration `name:"upgrade_timeout" default:"3s" min:"0s" max:"1m" doc:"When the binary is replaced, how long the connections have to take what is waiting for them and to leave; who connects waits meanwhile."`
	ReadBudget       Size     `name:"read_budget" default:"64KiB" min:"4KiB" max:"1MiB" doc:"Bytes read from one connection in a turn, so that a busy one does not starve the rest."`
	Gather           Duration `name:"gather" default:"1.2ms" min:"0s" max:"100ms" doc:"How often an event loop with much input reads it; what comes in between shares one batch and one fsync. Output is not held up, nor what comes to a loop that is not busy. 0s: each message is read as it comes."`
	Mailbox          Size     `name:"mailbox" default:"16MiB" min:"64KiB" max:"1GiB" doc:"Bytes of deliveries that wait for one event loop; whoever delivers more waits."`
}

// Admin is the operators' listener.
type Admin struct {
	Listen Address `name:"listen" default:"127.0.0.1:8081" doc:"IP address and port for /metrics, /healthz, /readyz, /varz and /debug/pprof/."`
}

// API is the applications' listener.
type API struct {
	Listen   MaybeAddress `name:"listen" default:"off" doc:"IP address and port of the interface for applications, see docs/api.md; without an address, every interface. off: none."`
	Keys     string       `name:"keys" doc:"A YAML file with the keys of applications; \"switchyard apikey\" makes entries for it. Empty: there are none, and only users' tokens are taken."`
	Requests int          `name:"requests" default:"64" min:"1" max:"10000" doc:"Requests at a time; more are answered 503. Three quarters of them may be of users with tokens, so that there is room for applications."`
	Timeout  Duration     `name:"timeout" default:"10s" min:"100ms" max:"5m" doc:"How long a request may take; then it is answered 503."`
	Canned   string       `name:"canned_file" doc:"A YAML file with the canned replies of each group, for /v1/groups/GROUP/canned; see docs/operations.md. Empty: there are none."`
}

// Websocket is what one connection may do.
type Websocket struct {
	MaxMessage     Size     `name:"max_message" default:"64KiB" min:"1KiB" max:"16MiB" doc:"Bytes of one message from a client; a larger one closes the connection with 1009."`
	MaxMerge       Size     `name:"max_merge" default:"256KiB" min:"1KiB" max:"16MiB" doc:"Bytes of one merged message to a client, unless a single frame is larger."`
	PingAfter      Duration `name:"ping_after" default:"30s" min:"1s" max:"1h" doc:"The server pings a connection that was silent for this long."`
	CloseAfter     Duration `name:"close_after" default:"60s" min:"2s" max:"2h" doc:"A connection that was silent for this long, pings unanswered, is closed."`
	WriteTimeout   Duration `name:"write_timeout" default:"10s" min:"1s" max:"5m" doc:"A connection that takes no bytes for this long, while some wait, is closed. One that is being closed has six times as long in all."`
	MessageTimeout Duration `name:"message_timeout" default:"60s" min:"1s" max:"1h" doc:"From the first byte of a message to its last. The default lets 64KiB pass at 9 kbit/s; with a larger max_message, or slower links, give more."`
	LingerTimeout  Duration `name:"linger_timeout" default:"5s" min:"1s" max:"1m" doc:"The longest wait for the peer to close after the server's last byte."`
	OutputKernel   Size     `name:"output_kernel" default:"128KiB" min:"4KiB" max:"64MiB" doc:"Bytes for one connection that the kernel takes before it has sent them (TCP_NOTSENT_LOWAT). More wait in the server, where the two bounds below apply."`
	OutputSoft     Size     `name:"output_soft" default:"256KiB" min:"4KiB" max:"64MiB" doc:"With more than this waiting for one connection, typing and presence are dropped for it."`
	OutputHard     Size     `name:"output_hard" default:"1MiB" min:"16KiB" max:"256MiB" doc:"With more than this waiting, the connection is closed as a slow consumer; it resumes without loss."`
}

// Limits is what peers may ask for.
type Limits struct {
	AcceptRate   int      `name:"accept_rate" default:"0" min:"0" max:"1000000" doc:"New connections in a second, of all clients. More are answered 503 with a time to come back, and beyond that wait in the kernel. 0: no limit. Set it to what the machine takes beside its load; one core takes about 15000."`
	AcceptBurst  int      `name:"accept_burst" default:"0" min:"0" max:"10000000" doc:"New connections at once, at least accept_rate. 0: four times the rate."`
	PerAddress   int      `name:"per_address" default:"0" min:"0" max:"1000000" doc:"Connections from one IPv4 address or IPv6 /64; more are answered 429. 0: no limit. Many people can share an address. Behind a proxy, set server.proxy_protocol first, or all of them have the proxy's address."`
	Held         Size     `name:"held" default:"1GiB" min:"1MiB" max:"1TiB" doc:"Bytes that all connections hold for incomplete messages and unsent output. Above it, a connection that wants to hold more, and has more than its share, is closed, with 4003 if it can be told; it resumes without loss. Give at most a quarter of the memory, and at least twice websocket.max_message for each of server.loops."`
	MessageRate  int      `name:"message_rate" default:"10000" min:"0" max:"1000000000" doc:"Frames from one connection in a second. One that sends more is read more slowly. 0: no limit. The default is for bots and bridges; people type less than 20."`
	MessageBurst int      `name:"message_burst" default:"0" min:"0" max:"1000000000" doc:"Frames from one connection at once, at least message_rate. 0: four times the rate."`
	ByteRate     Size     `name:"byte_rate" default:"16MiB" min:"0B" max:"1GiB" doc:"Bytes from one connection in a second. One that sends more is read more slowly. 0B: no limit."`
	ByteBurst    Size     `name:"byte_burst" default:"0B" min:"0B" max:"1GiB" doc:"Bytes from one connection at once, at least byte_rate. 0B: four times the rate."`
	CloseAfter   Duration `name:"close_after" default:"5m" min:"0s" max:"24h" doc:"A connection that wants more than these rates for this long without a break is closed with 4504, upon which clients do not reconnect. 0s: never."`
}

// Reconnect is the advice in the welcome frame.
type Reconnect struct {
	Min         Duration `name:"min" default:"1s" min:"100ms" max:"1m" doc:"The wait before the second try; it doubles from there."`
	Max         Duration `name:"max" default:"60s" min:"1s" max:"1h" doc:"The longest wait."`
	Jitter      Duration `name:"jitter" default:"1s" min:"0s" max:"1m" doc:"A random part up to this is added to each wait."`
	DrainWindow Duration `name:"drain_window" default:"5s" min:"0s" max:"1h" doc:"When the server stops, clients spread their reconnections over this long."`
}

// Auth names the keys.
type Auth struct {
	Keys         []string `name:"keys" doc:"Files with the keys that tokens are signed with, as FILE or KID=FILE: an Ed25519 key in PEM, or an HS256 secret of at least 32 bytes in hex or base64. Several keys allow rotation."`
	Leeway       Duration `name:"leeway" default:"10s" min:"1s" max:"5m" doc:"How far an issuer's clock may be ahead (claims nbf and iat)."`
	HelloTimeout Duration `name:"hello_timeout" default:"10s" min:"1s" max:"5m" doc:"From the WebSocket handshake to a valid hello frame."`
}

// Store is the embedded engine.
type Store struct {
	Dir           string   `name:"dir" default:"data" doc:"The directory of the store; made if it does not exist."`
	Durability    string   `name:"durability" default:"sync" one_of:"sync unsafe-no-fsync" doc:"What accepted means. sync: the message survives the loss of power. unsafe-no-fsync: it survives the end of the process only, and a loss of power may damage the store."`
	Cache         Size     `name:"cache" default:"16MiB" min:"1MiB" max:"64GiB" doc:"Memory for blocks that were read from disk."`
	Memtable      Size     `name:"memtable" default:"16MiB" min:"1MiB" max:"1GiB" doc:"Memory for what is not yet in a table, and about the size of the journal that is replayed at start."`
	MinFree       Size     `name:"min_free" default:"256MiB" min:"1MiB" max:"1TiB" doc:"New messages are refused while the disk has less free space than this."`
	MaxInFlight   int      `name:"max_in_flight" default:"256" min:"1" max:"65536" doc:"Transactions handed to the store and not yet durable; further ones wait."`
	MaxBatch      Size     `name:"max_batch" default:"4MiB" min:"64KiB" max:"1GiB" doc:"Bytes of transactions that share one fsync."`
	SyncEvery     Duration `name:"sync_interval" default:"1ms" min:"0s" max:"1s" doc:"The least time between the starts of two fsyncs; what comes meanwhile shares the next one. An idle store does not wait. At 10,000 messages/s 1ms saves about a quarter of the CPU and makes a message wait about half a millisecond longer."`
	Retention     Duration `name:"retention" default:"0s" min:"0s" max:"876000h" doc:"How long messages stay on this disk; the last one of each conversation always does. With history.clickhouse only those that it has are removed, and it serves them from then on; without it they are gone. 0s: for ever."`
	RetentionSize Size     `name:"retention_size" default:"0B" min:"0B" max:"1024TiB" doc:"Bytes of messages (before compression) above which the oldest are removed, whatever their age, by the same rule. 0B: no bound."`
	ReopenMax     Duration `name:"reopen_max" default:"5s" min:"100ms" max:"5m" doc:"The longest wait before the store is opened again after the disk failed."`
}

// History is ClickHouse, and the way there.
type History struct {
	Clickhouse   []string `name:"clickhouse" doc:"HOST:PORT of ClickHouse's native protocol (9000, with TLS 9440); several are tried in order. None: there is no ClickHouse."`
	Database     string   `name:"database" default:"switchyard" doc:"The database; history.migrate creates it if the user may."`
	User         string   `name:"user" default:"default" doc:"The user; it needs SELECT, INSERT, CREATE and ALTER on the database."`
	PasswordFile string   `name:"password_file" doc:"A file with the user's password. Empty: no password."`
	TLS          bool     `name:"tls" default:"false" doc:"Encrypts the connection and checks the server's certificate."`
	CAFile       string   `name:"ca_file" doc:"A file with the certificates (PEM) of who may sign ClickHouse's. Empty: those that the system trusts."`
	Migrate      bool     `name:"migrate" default:"true" doc:"Creates and upgrades the tables at the start; else run switchyard history migrate. Until the tables are as they should be nothing is shipped, and nothing is lost."`
	Retention    Duration `name:"retention" default:"0s" min:"0s" max:"876000h" doc:"How long ClickHouse keeps messages and events; it drops them a month at a time. 0s: for ever."`
	BatchRows    int      `name:"batch_rows" default:"10000" min:"1" max:"500000" doc:"Rows of an insert at most."`
	BatchBytes   Size     `name:"batch_bytes" default:"8MiB" min:"64KiB" max:"256MiB" doc:"Bytes of an insert at most; two are in memory."`
	BatchDelay   Duration `name:"batch_delay" default:"1s" min:"10ms" max:"1h" doc:"How long a row waits for an insert to fill."`
	CatchUpRate  int      `name:"catch_up_rate" default:"200000" min:"0" max:"100000000" doc:"Rows a second at most after an outage, so that messages keep their processors. 0: no bound."`
	MaxBacklog   Size     `name:"max_backlog" default:"64GiB" min:"1MiB" max:"1024TiB" doc:"Bytes on the disk that wait for ClickHouse. At 80 % of it an alarm is raised; what then happens is history.when_full. An hour of 10,000 messages/s of 200 bytes takes about 10 GiB."`
	WhenFull     string   `name:"when_full" default:"refuse" one_of:"refuse drop" doc:"refuse: new messages are refused with a retry time until there is room; nothing is lost. drop (dangerous): chat goes on, and what is sent meanwhile never reaches the history; the gap is recorded in the table history_gaps."`
	DeadLetters  string   `name:"dead_letters" doc:"The file for rows that ClickHouse does not take, as JSON lines; see switchyard history replay-dead. Empty: dead-letters.jsonl in store.dir."`
	QueryTimeout Duration `name:"query_timeout" default:"5s" min:"100ms" max:"5m" doc:"How long a page of old messages may take; then what is on the disk is answered, as a partial page."`
}

// Notify is who is told.
type Notify struct {
	File        string `name:"file" doc:"A YAML file with the endpoints and the events that each gets, and with the channels by which those are told who did not ack a message; docs/notifications.md describes it. Empty: nobody is told."`
	DeadLetters string `name:"dead_letters" doc:"The file for what could not be delivered, as JSON lines; POST /notify/replay on the admin address sends it again. Empty: notify-dead-letters.jsonl in store.dir."`
}

// Conversations is the message center.
type Conversations struct {
	Runners     int      `name:"runners" default:"0" min:"0" max:"1024" doc:"Goroutines that share the conversation shards. 0: half of the processors."`
	Units       int      `name:"units" default:"3" min:"1" max:"64" doc:"Batches of one runner under way at a time; more of them makes smaller batches."`
	RingFrames  int      `name:"ring_frames" default:"32768" min:"64" max:"1048576" doc:"Frames that wait between one event loop and one runner, a power of two; further ones are answered overloaded."`
	RingBytes   Size     `name:"ring_bytes" default:"8MiB" min:"64KiB" max:"1GiB" doc:"Bytes of those frames, a power of two and at least twice websocket.max_message."`
	AttachMax   int      `name:"attach_max" default:"1024" min:"1" max:"1000000" doc:"Conversations attached to one connection."`
	ResumeMax   int      `name:"resume_max" default:"5000" min:"1" max:"1000000" doc:"Messages that a resume replays; a client that missed more is told to reload the history."`
	LookbackMax int      `name:"lookback_max" default:"4096" min:"1" max:"1000000" doc:"Messages that a retry with an old base is compared with."`
	EvictAfter  Duration `name:"evict_after" default:"60s" min:"1s" max:"24h" doc:"Idle time after which a conversation leaves memory; the store keeps it."`
	RetryAfter  Duration `name:"retry_after" default:"1s" min:"10ms" max:"1m" doc:"The wait that refused clients are told."`
}

// Routing is the desk.
type Routing struct {
	Capacity int    `name:"capacity" default:"5" min:"1" max:"10000" doc:"Conversations that an agent takes at a time, unless the token or the agent says otherwise."`
	File     string `name:"file" doc:"A YAML file that says how each group works: who gets conversations, hours, timers; see docs/operations.md. Empty: the least active agent does, at any time."`
}

// Overload is what the server bears.
type Overload struct {
	MaxDelay    Duration `name:"max_delay" default:"400ms" min:"100ms" max:"1m" doc:"A message that would wait longer for its ack is answered overloaded, with a retry time. Other things are given up from a fifth of it on."`
	MemoryLimit Size     `name:"memory_limit" default:"0B" min:"0B" max:"16TiB" doc:"Memory of the process, the kernel's socket buffers aside. From 80 % of it on things are given up, and the garbage collector works harder as it comes near. 0: GOMEMLIMIT if that is set, else 80 % of the control group's limit or the machine's memory."`
}

// Pools are the bulkheads.
type Pools struct {
	Auth  Pool `name:"auth" doc:"Checks tokens." defaults:"10 1000 500ms"`
	Reads Pool `name:"reads" doc:"Reads the store: loads of conversations, replays, history." defaults:"8 20000 1s"`
}

// Pool is one bulkhead. Its defaults stand in the tag of the field in Pools, in the order of its fields.
type Pool struct {
	Workers  int      `name:"workers" min:"1" max:"1000" doc:"Jobs at a time."`
	Queue    int      `name:"queue" min:"1" max:"1000000" doc:"Jobs that may wait; further ones are answered overloaded at once."`
	Deadline Duration `name:"deadline" min:"10ms" max:"5m" doc:"A job that waited longer is answered overloaded."`
}

// Log is the process's log.
type Log struct {
	Level  string `name:"level" default:"info" one_of:"debug info warn error" doc:"The least level that is written."`
	Format string `name:"format" default:"auto" one_of:"auto json text" doc:"auto is text on a terminal and JSON elsewhere."`
}
