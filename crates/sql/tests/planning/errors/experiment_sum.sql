CREATE EXPERIMENT e ON user_id ARMS (control 90, strict 20);
