# Every figure is read from deployments/cloudfront/distribution.json, which the tests hold to what the
# origin and the function do; its README says why each is what it is.
locals {
  figures   = jsondecode(file("${var.figures}/distribution.json"))
  function  = local.figures.function
  signed    = var.signed_playback != null
  behaviors = local.figures.behaviors[local.signed ? "signed" : "token"]
  default   = one([for behavior in local.behaviors : behavior if behavior.path_pattern == "*"])
  ordered   = [for behavior in local.behaviors : behavior if behavior.path_pattern != "*"]
}

resource "aws_cloudfront_cache_policy" "this" {
  for_each    = local.figures.cache_policies
  name        = "${var.name}-${each.key}"
  min_ttl     = each.value.min_ttl
  default_ttl = each.value.default_ttl
  max_ttl     = each.value.max_ttl

  parameters_in_cache_key_and_forwarded_to_origin {
    enable_accept_encoding_gzip   = each.value.enable_accept_encoding_gzip
    enable_accept_encoding_brotli = each.value.enable_accept_encoding_brotli

    query_strings_config {
      query_string_behavior = each.value.query_string_behavior
    }

    headers_config {
      header_behavior = each.value.header_behavior
    }

    cookies_config {
      cookie_behavior = each.value.cookie_behavior
    }
  }
}

resource "aws_cloudfront_response_headers_policy" "this" {
  name = var.name

  security_headers_config {
    content_type_options {
      override = true
    }

    strict_transport_security {
      access_control_max_age_sec = 31536000
      include_subdomains         = true
      override                   = true
    }
  }

  # Requests with cookies carry credentials, for which the origin's own `*` is not accepted.
  dynamic "cors_config" {
    for_each = local.signed ? [var.page_origins] : []

    content {
      access_control_allow_credentials = true
      access_control_max_age_sec       = 86400
      origin_override                  = true

      access_control_allow_origins {
        items = cors_config.value
      }

      access_control_allow_methods {
        items = local.figures.allowed_methods
      }

      access_control_allow_headers {
        items = ["range", "if-range", "if-none-match"]
      }

      access_control_expose_headers {
        items = ["content-length", "content-range", "date", "etag"]
      }
    }
  }
}

resource "aws_cloudfront_vpc_origin" "this" {
  vpc_origin_endpoint_config {
    name                   = var.name
    arn                    = var.load_balancer_arn
    http_port              = 80
    https_port             = 443
    origin_protocol_policy = local.figures.origin.origin_protocol_policy

    origin_ssl_protocols {
      items    = ["TLSv1.2"]
      quantity = 1
    }
  }
}

resource "aws_cloudfront_distribution" "this" {
  comment         = var.name
  enabled         = true
  http_version    = "http2and3"
  is_ipv6_enabled = true
  price_class     = var.price_class
  aliases         = var.domain == null ? [] : [var.domain]

  origin {
    origin_id           = "origin"
    domain_name         = var.origin_domain
    connection_attempts = local.figures.origin.connection_attempts
    connection_timeout  = local.figures.origin.connection_timeout

    vpc_origin_config {
      vpc_origin_id            = aws_cloudfront_vpc_origin.this.id
      origin_keepalive_timeout = local.figures.origin.origin_keepalive_timeout
      origin_read_timeout      = local.figures.origin.origin_read_timeout
    }

    origin_shield {
      enabled              = local.figures.origin.origin_shield
      origin_shield_region = var.region
    }

    custom_header { # the private network lets in other distributions of the account, this does not
      name  = local.figures.origin.custom_header_name
      value = var.origin_secret
    }
  }

  default_cache_behavior {
    target_origin_id           = "origin"
    viewer_protocol_policy     = local.figures.viewer_protocol_policy
    allowed_methods            = local.figures.allowed_methods
    cached_methods             = local.figures.cached_methods
    cache_policy_id            = aws_cloudfront_cache_policy.this[local.default.cache_policy].id
    response_headers_policy_id = aws_cloudfront_response_headers_policy.this.id
    compress                   = local.figures.cache_policies[local.default.cache_policy].enable_accept_encoding_gzip

    function_association {
      event_type   = local.function.event_type
      function_arn = aws_cloudfront_function.viewer_request.arn
    }
  }

  dynamic "ordered_cache_behavior" {
    for_each = local.ordered

    content {
      path_pattern               = ordered_cache_behavior.value.path_pattern
      target_origin_id           = "origin"
      viewer_protocol_policy     = local.figures.viewer_protocol_policy
      allowed_methods            = local.figures.allowed_methods
      cached_methods             = local.figures.cached_methods
      cache_policy_id            = aws_cloudfront_cache_policy.this[ordered_cache_behavior.value.cache_policy].id
      response_headers_policy_id = aws_cloudfront_response_headers_policy.this.id
      compress                   = local.figures.cache_policies[ordered_cache_behavior.value.cache_policy].enable_accept_encoding_gzip
      trusted_key_groups         = ordered_cache_behavior.value.key_group ? [aws_cloudfront_key_group.this[0].id] : []

      dynamic "function_association" {
        for_each = ordered_cache_behavior.value.function ? [local.function.event_type] : []

        content {
          event_type   = function_association.value
          function_arn = aws_cloudfront_function.viewer_request.arn
        }
      }
    }
  }

  dynamic "custom_error_response" {
    for_each = local.figures.error_caching_min_ttl

    content {
      error_code            = custom_error_response.key
      error_caching_min_ttl = custom_error_response.value
    }
  }

  restrictions {
    geo_restriction {
      restriction_type = "none"
    }
  }

  viewer_certificate {
    cloudfront_default_certificate = var.domain == null
    acm_certificate_arn            = var.certificate_arn
    ssl_support_method             = var.domain == null ? null : "sni-only"
    minimum_protocol_version       = var.domain == null ? null : "TLSv1.2_2021"
  }
}
