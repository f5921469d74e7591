output "postgres_password" {
  description = "Password of PostgreSQL's user postgres"
  value       = local.postgres_password
  sensitive   = true
  ephemeral   = true
}

output "names" {
  description = "The names of all secrets"
  value       = local.names
}

output "arns" {
  description = "The parameters that tasks read: the secrets but the seed, and the certificates"
  value = concat(
    [for parameter in aws_ssm_parameter.these : parameter.arn],
    [aws_ssm_parameter.trusted_certificates.arn]
  )
}
