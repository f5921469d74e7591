output "address" {
  description = "Its host and port"
  value       = aws_db_instance.this.endpoint
}
