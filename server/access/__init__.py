"""Who may use the server, and how much: keys, what each may do, and the door that asks for them."""
