output "names" {
  description = "Bucket names by purpose: raw, processed, logs."
  value       = { for purpose, bucket in aws_s3_bucket.this : purpose => bucket.bucket }
}

output "logs_bucket_arn" {
  description = "Where AWS delivers logs; ready to be written to."
  value       = aws_s3_bucket.this["logs"].arn
  depends_on  = [aws_s3_bucket_policy.this]
}
